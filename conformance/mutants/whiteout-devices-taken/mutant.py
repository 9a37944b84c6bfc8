"""Mutant: a character device 0:0 is extracted like any other.

Caught by HST-010 and HST-234.
"""

from layerfs.cli import main
from layerfs.layertree import LayerTree

_add = LayerTree.add


def _any_device(self, member):
    rdev, member.rdev = member.rdev, (-1, -1)
    try:
        return _add(self, member)
    finally:
        member.rdev = rdev


LayerTree.add = _any_device

raise SystemExit(main())
