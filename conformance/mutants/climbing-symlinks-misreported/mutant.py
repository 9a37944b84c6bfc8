"""Mutant: a symlink that climbs above the root is refused as a mere bad path. Caught by HST-004."""

from layerfs.cli import main
from layerfs.errors import InvalidLayerPathError
from layerfs.layertree import LayerTree

_follow = LayerTree._follow


def _counted(self, start, target, left, path):
    depth = len(start.names())
    for component in target.split(b"/"):
        depth += -1 if component == b".." else component not in {b"", b"."}
        if depth < 0:
            raise InvalidLayerPathError(f"{path!r} leads above the root", path=path)
    return _follow(self, start, target, left, path)


LayerTree._follow = _counted

raise SystemExit(main())
