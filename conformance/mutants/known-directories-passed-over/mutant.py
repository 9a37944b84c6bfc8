"""Mutant: a directory that is there when its entry comes stays as it is.

Caught by APL-017 and APL-018.
"""

from layerfs.apply import _Applier
from layerfs.cli import main

_make_directory = _Applier._make_directory


def _new_only(self, member, step):
    if step.old is None:
        _make_directory(self, member, step)


_Applier._make_directory = _new_only

raise SystemExit(main())
