"""Mutant: a marker is resolved through symlinks of its own layer. Caught by HST-020."""

from layerfs.cli import main
from layerfs.layertree import LayerTree


def _enter(self, markers):
    node = self.directory(b"/".join(markers.names))
    node.marked |= markers.marked
    for name in markers.hidden:
        node.hide(name)
    return True


LayerTree._enter = _enter

raise SystemExit(main())
