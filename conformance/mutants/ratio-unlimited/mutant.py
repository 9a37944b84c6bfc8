"""Mutant: a blob may expand to any multiple of itself. Caught by HST-101 and HST-102."""

from dataclasses import replace

from layerfs.cli import main
from layerfs.compression import BlobReader
from layerfs.limits import Limits

_init = BlobReader.__init__


def _other(self, *args, limits=None, **options):
    _init(self, *args, limits=replace(limits or Limits(), max_ratio=2**62), **options)


BlobReader.__init__ = _other

raise SystemExit(main())
