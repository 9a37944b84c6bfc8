"""Mutant: owners are cut to 16 bits. Caught by APL-005."""

from dataclasses import replace

from layerfs.apply import _Applier
from layerfs.cli import main

_chown = _Applier._chown


def _short(self, member, target, *, dir_fd=None):
    member = replace(member, uid=member.uid & 0xFFFF, gid=member.gid & 0xFFFF)
    _chown(self, member, target, dir_fd=dir_fd)


_Applier._chown = _short

raise SystemExit(main())
