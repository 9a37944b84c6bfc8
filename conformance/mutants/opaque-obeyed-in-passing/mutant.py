"""Mutant: an opaque marker deletes what its own layer has put there before it.

Caught by WHT-004.
"""

from layerfs.apply import _Applier
from layerfs.cli import main
from layerfs.whiteout import Opaque, classify

_add = _Applier._add


def _obey(self, member):
    mark = classify(member.name)
    if isinstance(mark, Opaque):
        directory = self._tree.directory(mark.directory)
        self._make_implicit()
        while directory.children:
            name, node = directory.children.popitem()
            self._remove(directory, name, node)
    _add(self, member)


_Applier._add = _obey

raise SystemExit(main())
