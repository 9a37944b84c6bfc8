"""Mutant: a merged layer depends on the layers that it was made of. Caught by MRG-006."""

from dataclasses import replace

from layerfs import views
from layerfs.cli import main

_merge = views.merge


def _dependent(parts, digests):
    made = _merge(parts, digests)
    needs = tuple(one for one in dict.fromkeys(digests) if one != made.digest)
    with parts.lock(), parts.meta.transaction():
        parts.meta.put_layer(replace(made, dependencies=needs), blob_bytes=0)
    return parts.meta.layer(made.digest)


views.merge = _dependent

raise SystemExit(main())
