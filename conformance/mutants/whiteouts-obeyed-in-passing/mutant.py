"""Mutant: a whiteout deletes what its own layer has put there before it. Caught by WHT-002."""

from layerfs.apply import _Applier
from layerfs.cli import main
from layerfs.whiteout import Whiteout, classify

_add = _Applier._add


def _obey(self, member):
    mark = classify(member.name)
    if isinstance(mark, Whiteout):
        path, _, base = mark.target.rpartition(b"/")
        parent = self._tree.directory(path)
        self._make_implicit()
        if (old := parent.children.pop(base, None)) is not None:
            self._remove(parent, base, old)
    _add(self, member)


_Applier._add = _obey

raise SystemExit(main())
