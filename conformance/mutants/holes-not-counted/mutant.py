"""Mutant: of a sparse file only the data count. Caught by HST-115."""

from dataclasses import replace

from layerfs.cli import main
from layerfs.limits import Limits
from layerfs.tarstream import TarReader

_init = TarReader.__init__


def _unlimited(self, source, limits=None):
    _init(self, source, replace(limits or Limits(), max_file_bytes=2**62))


TarReader.__init__ = _unlimited

raise SystemExit(main())
