"""Mutant: the link path of a pax record may have '..' in it. Caught by HST-203."""

from layerfs import paxrecords
from layerfs.cli import main

_read_path = paxrecords._READERS[b"linkpath"]


def _tidied(keyword, value):
    return _read_path(keyword, b"/".join(part for part in value.split(b"/") if part != b".."))


paxrecords._READERS[b"linkpath"] = _tidied

raise SystemExit(main())
