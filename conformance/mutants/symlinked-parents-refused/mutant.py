"""Mutant: a name that passes through a symlink is refused, wherever it leads. Caught by APL-026."""

from layerfs.cli import main
from layerfs.errors import HostileLayerError
from layerfs.layertree import LayerTree


def _refuse(_self, _start, _target, _left, path):
    raise HostileLayerError(f"hostile layer: {path!r} leads through a symlink", path=path)


LayerTree._follow = _refuse

raise SystemExit(main())
