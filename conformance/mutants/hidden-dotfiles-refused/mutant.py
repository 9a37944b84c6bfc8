"""Mutant: a whiteout of a name that begins with a dot is taken for '..'. Caught by WHT-010."""

from layerfs import layertree
from layerfs.cli import main
from layerfs.errors import HostileLayerError

_classify = layertree.classify


def _without_dots(name, *, is_dir=False):
    if name.rpartition(b"/")[2].startswith(b".wh..") and not name.endswith(b".wh..wh..opq"):
        raise HostileLayerError(f"hostile layer: {name!r}", path=name)
    return _classify(name, is_dir=is_dir)


layertree.classify = _without_dots

raise SystemExit(main())
