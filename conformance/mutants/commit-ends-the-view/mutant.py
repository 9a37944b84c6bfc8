"""Mutant: a view that was committed is unmounted. Caught by CMT-008 and CMT-004."""

from layerfs.cli import main
from layerfs.store import LayerFS

_commit = LayerFS.commit


def _and_unmount(self, target, **options):
    layer = _commit(self, target, **options)
    self.unmount(target)
    return layer


LayerFS.commit = _and_unmount

raise SystemExit(main())
