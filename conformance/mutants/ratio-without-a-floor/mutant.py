"""Mutant: the ratio counts from the first byte on. Caught by HST-103."""

from dataclasses import replace

from layerfs.cli import main
from layerfs.compression import BlobReader
from layerfs.limits import Limits

_init = BlobReader.__init__


def _other(self, *args, limits=None, **options):
    _init(self, *args, limits=replace(limits or Limits(), ratio_floor_bytes=0), **options)


BlobReader.__init__ = _other

raise SystemExit(main())
