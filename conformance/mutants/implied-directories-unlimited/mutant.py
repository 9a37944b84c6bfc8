"""Mutant: names may imply any number of directories. Caught by HST-108."""

from dataclasses import replace

from layerfs.cli import main
from layerfs.layertree import LayerTree
from layerfs.limits import Limits

_init = LayerTree.__init__


def _unlimited(self, limits=None):
    _init(self, replace(limits or Limits(), max_implicit_bytes=2**62))


LayerTree.__init__ = _unlimited

raise SystemExit(main())
