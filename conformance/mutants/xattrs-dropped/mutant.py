"""Mutant: extended attributes of directories are not set. Caught by APL-010 and APL-012."""

from dataclasses import replace

from layerfs.apply import _Applier
from layerfs.cli import main

_set_metadata = _Applier._set_metadata


def _of_files(self, target, member, *, opaque=False):
    if member.kind == "dir":
        member = replace(member, xattrs={})
    _set_metadata(self, target, member, opaque=opaque)


_Applier._set_metadata = _of_files

raise SystemExit(main())
