"""Mutant: the setgid bit is lost. Caught by APL-003."""

from dataclasses import replace

from layerfs.apply import _Applier
from layerfs.cli import main

_set_metadata = _Applier._set_metadata


def _without_setgid(self, target, member, *, opaque=False):
    _set_metadata(self, target, replace(member, mode=member.mode & ~0o2000), opaque=opaque)


_Applier._set_metadata = _without_setgid

raise SystemExit(main())
