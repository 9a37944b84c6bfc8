"""Mutant: the path of a pax record may have '..' in it. Caught by HST-202."""

from layerfs import paxrecords
from layerfs.cli import main

_read_path = paxrecords._READERS[b"path"]


def _tidied(keyword, value):
    return _read_path(keyword, b"/".join(part for part in value.split(b"/") if part != b".."))


paxrecords._READERS[b"path"] = _tidied

raise SystemExit(main())
