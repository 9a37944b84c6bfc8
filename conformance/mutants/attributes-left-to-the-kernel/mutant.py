"""Mutant: how large an extended attribute may be is left to the kernel. Caught by HST-112."""

from layerfs.cli import main
from layerfs.limits import Limits
from layerfs.tarstream import TarReader

_init = TarReader.__init__


def _unlimited(self, source, limits=None):
    limits = Limits() if limits is None else limits
    object.__setattr__(limits, "max_xattr_name_bytes", 2**62)
    object.__setattr__(limits, "max_xattr_value_bytes", 2**62)
    _init(self, source, limits)


TarReader.__init__ = _unlimited

raise SystemExit(main())
