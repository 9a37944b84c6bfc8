"""Mutant: the commit of a read-only view is an empty layer. Caught by CMT-006."""

from layerfs import making, views
from layerfs.cli import main
from layerfs.errors import ReadOnlyFilesystemError

_commit = views.commit


def _or_empty(parts, target, *more):
    try:
        return _commit(parts, target, *more)
    except ReadOnlyFilesystemError:
        return making.make(parts, lambda sink, _: sink.write(bytes(1024)), *more)


views.commit = _or_empty

raise SystemExit(main())
