"""Mutant: symlinks are followed by recursion, without a count. Caught by HST-013."""

import os

from layerfs.cli import main
from layerfs.layertree import LayerTree


def _follow(self, start, target, _left, _path):
    full = os.path.normpath(os.path.join(b"/", *start.names(), target))
    return self.directory(full.strip(b"/"), make=False)


LayerTree._follow = _follow

raise SystemExit(main())
