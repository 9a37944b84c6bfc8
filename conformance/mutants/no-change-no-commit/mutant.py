"""Mutant: a view without a change cannot be committed. Caught by CMT-003."""

import os

from layerfs.backends.overlay import OverlayBackend
from layerfs.cli import main
from layerfs.errors import ValidationError

_changes = OverlayBackend.changes


def _some(self, run, sink, **options):
    if not os.listdir(os.path.join(run, "upper")):
        raise ValidationError("there is nothing to commit")
    _changes(self, run, sink, **options)


OverlayBackend.changes = _some

raise SystemExit(main())
