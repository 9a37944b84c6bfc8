"""Mutant: a path may be longer than the kernel takes. Caught by HST-111."""

from layerfs import tarfields
from layerfs.cli import main
from layerfs.limits import Limits
from layerfs.tarstream import TarReader

_init = TarReader.__init__


def _unlimited(self, source, limits=None):
    limits = Limits() if limits is None else limits
    object.__setattr__(limits, "max_path_bytes", 2**62)
    _init(self, source, limits)


tarfields.PATH_MAX = 2**62
TarReader.__init__ = _unlimited

raise SystemExit(main())
