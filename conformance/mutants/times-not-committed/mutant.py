"""Mutant: what is merged or committed has the time of the beginning of 1970. Caught by CMT-013."""

from dataclasses import replace

from layerfs.cli import main
from layerfs.tarwrite import TarWriter

_add = TarWriter.add


def _undated(self, member, source=None):
    return _add(self, replace(member, mtime_ns=0), source)


TarWriter.add = _undated

raise SystemExit(main())
