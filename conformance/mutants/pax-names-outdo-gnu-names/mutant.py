"""Mutant: of two different long names the one of pax counts. Caught by HST-151."""

from layerfs import tarstream
from layerfs.cli import main

_override = tarstream.override


def _by_pax(member, pax, extensions):
    if pax is not None and pax.path is not None:
        extensions.name = None
    if pax is not None and pax.linkpath is not None:
        extensions.linkname = None
    _override(member, pax, extensions)


tarstream.override = _by_pax

raise SystemExit(main())
