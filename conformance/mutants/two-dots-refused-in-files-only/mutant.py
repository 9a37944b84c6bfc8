"""Mutant: names with '..' are looked for among files and directories only. Caught by HST-201."""

from layerfs import tarstream
from layerfs.cli import main
from layerfs.errors import HostileLayerError
from layerfs.layertree import LayerTree

_clean_name, _add = tarstream.clean_name, LayerTree.add


class _Climbing(bytes):
    """A name that had a '..' in it."""


def _tidied(raw):
    parts = raw.split(b"/")
    if b".." not in parts:
        return _clean_name(raw)
    return _Climbing(_clean_name(b"/".join(part for part in parts if part != b"..")))


def _checked(self, member):
    plain = member.kind in {"file", "dir"} and not member.sparse and b".wh." not in member.name
    if isinstance(member.name, _Climbing) and plain:
        raise HostileLayerError(f"hostile layer: {member.name!r}", path=member.name)
    return _add(self, member)


tarstream.clean_name = _tidied
LayerTree.add = _checked

raise SystemExit(main())
