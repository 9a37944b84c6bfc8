"""Mutant: a merged layer depends on the layers that it was made of. Caught by MRG-006."""

from layerfs import views
from layerfs.cli import main

_merge = views.merge


def _dependent(parts, digests, *more):
    made = _merge(parts, digests, *more)
    needs = tuple(one for one in dict.fromkeys(digests) if one != made.digest)
    with parts.lock(), parts.meta.transaction():
        parts.meta.put_layer(made._replace(dependencies=needs), blob_bytes=0)
    return parts.meta.layer(made.digest)


views.merge = _dependent

raise SystemExit(main())
