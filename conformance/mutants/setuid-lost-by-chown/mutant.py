"""Mutant: files are given away after their mode was set, which clears setuid.

Caught by IMG-020 and IMG-022.
"""

from layerfs import command
from layerfs.apply import _Applier
from layerfs.cli import main

_set_metadata, _chown = _Applier._set_metadata, _Applier._chown


def _mode_first(self, target, member, **options):
    _set_metadata(self, target, member, **options)
    if self._must_chown(member) or member.mode & 0o6000:
        _chown(self, member, target)


_Applier._set_metadata = _mode_first
command.are_possible = lambda: False  # no helper, which would do it right

raise SystemExit(main())
