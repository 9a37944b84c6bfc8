"""Mutant: a view's further commits are answered with the first one's layer. Caught by CMT-008."""

from layerfs import views
from layerfs.cli import main

_commit = views.commit
_known = {}


def _once(parts, target, *more):
    for row in parts.meta.mounts(target=views.place(target)):
        if row.id not in _known:
            _known[row.id] = _commit(parts, target, *more)
        return _known[row.id]
    return _commit(parts, target, *more)


views.commit = _once

raise SystemExit(main())
