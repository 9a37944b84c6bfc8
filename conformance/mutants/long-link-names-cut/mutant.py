"""Mutant: a link name that GNU tar puts before its header is not read. Caught by DIF-002."""

from layerfs import tarstream
from layerfs.cli import main

_override = tarstream.override


def _names_only(member, pax, extensions):
    extensions.linkname = None
    _override(member, pax, extensions)


tarstream.override = _names_only

raise SystemExit(main())
