"""Mutant: the merge of no layers is an empty layer. Caught by MRG-004."""

from layerfs import making, views
from layerfs.cli import main

_merge = views.merge


def _or_empty(parts, digests, *more):
    if not digests:
        return making.make(parts, lambda sink, _: sink.write(bytes(1024)), *more)
    return _merge(parts, digests, *more)


views.merge = _or_empty

raise SystemExit(main())
