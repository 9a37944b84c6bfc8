"""Mutant: how deep a directory is, is told by its name in the archive. Caught by HST-107."""

from dataclasses import replace

from layerfs.cli import main
from layerfs.errors import LimitExceededError
from layerfs.layertree import LayerTree
from layerfs.limits import Limits

_init, _add = LayerTree.__init__, LayerTree.add


def _unlimited(self, limits=None):
    self.most = (limits or Limits()).max_depth
    _init(self, replace(limits or Limits(), max_depth=2**62))


def _counted(self, member):
    if member.name.count(b"/") + (member.kind == "dir") > self.most:
        raise LimitExceededError("too deep", limit=f"max_depth={self.most}")
    return _add(self, member)


LayerTree.__init__ = _unlimited
LayerTree.add = _counted

raise SystemExit(main())
