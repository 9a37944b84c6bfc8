"""Mutant: the merge of no layers is an empty layer. Caught by MRG-004."""

from layerfs import views
from layerfs.cli import main

_merge = views.merge


def _or_empty(parts, digests):
    if not digests:
        return views._added(parts, lambda sink: sink.write(bytes(1024)))
    return _merge(parts, digests)


views.merge = _or_empty

raise SystemExit(main())
