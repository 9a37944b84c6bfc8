"""Mutant: a commit fails when a file goes while it is made. Caught by CMT-011."""

from layerfs import diff
from layerfs.cli import main

_write_changes = diff.write_changes


def _still(layers, sink, *, live=True, **options):  # noqa: ARG001
    _write_changes(layers, sink, live=False, **options)


diff.write_changes = _still

raise SystemExit(main())
