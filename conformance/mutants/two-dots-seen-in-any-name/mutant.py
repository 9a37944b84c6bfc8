"""Mutant: a name with two dots anywhere is taken for a way up. Caught by HST-204 and HST-205."""

from layerfs import tarstream
from layerfs.cli import main
from layerfs.errors import HostileLayerError

_clean_name = tarstream.clean_name


def _strict(raw):
    if b".." in raw.replace(b".wh..", b".wh."):
        raise HostileLayerError(f"hostile layer: {raw!r} has '..' in it", path=raw)
    return _clean_name(raw)


tarstream.clean_name = _strict

raise SystemExit(main())
