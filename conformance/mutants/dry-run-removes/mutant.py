"""Mutant: gc with dry_run is as without. Caught by GC-006."""

from layerfs.cli import main
from layerfs.store import LayerFS

_collect = LayerFS.collect_garbage


def _wet(self, *, dry_run=False, force=False):  # noqa: ARG001
    return _collect(self, dry_run=False, force=force)


LayerFS.collect_garbage = _wet

raise SystemExit(main())
