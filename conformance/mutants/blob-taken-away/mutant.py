"""Mutant: a blob is moved into the store, and missing where it was. Caught by IDN-019."""

import os

from layerfs.cli import main
from layerfs.store import LayerFS

_add_layer = LayerFS.add_layer


def _move(self, source, *args, **options):
    layer = _add_layer(self, source, *args, **options)
    os.unlink(source)
    return layer


LayerFS.add_layer = _move

raise SystemExit(main())
