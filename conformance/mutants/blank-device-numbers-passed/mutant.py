"""Mutant: a device without a number is not taken for a whiteout. Caught by HST-234."""

from layerfs.cli import main
from layerfs.tarstream import TarReader

_other = TarReader._other


def _numbered(self, member, major, minor, **more):
    if not major.strip(b"\0 ") and not minor.strip(b"\0 "):
        major = minor = b"0000001"
    _other(self, member, major, minor, **more)


TarReader._other = _numbered

raise SystemExit(main())
