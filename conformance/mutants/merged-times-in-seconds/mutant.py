"""Mutant: what is merged or committed has times in whole seconds.

Caught by DIF-005 and CMT-014.
"""

from dataclasses import replace

from layerfs.cli import main
from layerfs.tarwrite import TarWriter

_add = TarWriter.add


def _whole_seconds(self, member, source=None):
    member = replace(member, mtime_ns=member.mtime_ns - member.mtime_ns % 10**9)
    return _add(self, member, source)


TarWriter.add = _whole_seconds

raise SystemExit(main())
