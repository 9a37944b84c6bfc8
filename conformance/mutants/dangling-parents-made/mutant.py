"""Mutant: what a parent's symlink leads to is made, where it is not there. Caught by HST-003."""

import os

from layerfs.cli import main
from layerfs.errors import HostileLayerError
from layerfs.layertree import LayerTree

_follow = LayerTree._follow


def _made(self, start, target, left, path):
    try:
        return _follow(self, start, target, left, path)
    except HostileLayerError:
        full = os.path.normpath(os.path.join(b"/", *start.names(), target))
        return self.directory(full.strip(b"/"))


LayerTree._follow = _made

raise SystemExit(main())
