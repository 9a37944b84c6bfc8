"""Mutant: as many bytes follow a directory or symlink as its header says. Caught by APL-160."""

from layerfs import tarsparse
from layerfs.cli import main
from layerfs.tarstream import TarReader

_other = TarReader._other


def _with_data(self, member, major, minor, **options):
    size = member.size
    _other(self, member, major, minor, **options)
    if member.kind != "hardlink":
        self._gap = tarsparse.padded(size)


TarReader._plain = lambda _: None
TarReader._other = _with_data

raise SystemExit(main())
