"""Mutant: an archive may be of any length. Caught by HST-105."""

from dataclasses import replace

from layerfs.cli import main
from layerfs.compression import BlobReader
from layerfs.limits import Limits

_init = BlobReader.__init__


def _other(self, *args, limits=None, **options):
    _init(self, *args, limits=replace(limits or Limits(), max_output_bytes=2**62), **options)


BlobReader.__init__ = _other

raise SystemExit(main())
