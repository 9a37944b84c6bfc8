"""Mutant: gc answers what it would remove, and removes nothing. Caught by GC-001."""

from layerfs.cli import main
from layerfs.store import LayerFS

_collect = LayerFS.collect_garbage


def _dry(self, *, dry_run=False, force=False):  # noqa: ARG001
    return _collect(self, dry_run=True, force=force)


LayerFS.collect_garbage = _dry

raise SystemExit(main())
