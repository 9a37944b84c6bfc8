"""Mutant: '..' in a symlink takes back the name before it, whatever that is. Caught by HST-209."""

import posixpath

from layerfs.cli import main
from layerfs.layertree import LayerTree

_follow = LayerTree._follow


def _tidied(self, start, target, left, path):
    return _follow(self, start, posixpath.normpath(target), left, path)


LayerTree._follow = _tidied

raise SystemExit(main())
