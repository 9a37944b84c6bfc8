"""Mutant: what was mounted before an unknown layer was met stays mounted.

Caught by STK-019 and LDG-002.
"""

from layerfs import views
from layerfs.cli import main
from layerfs.errors import LayerNotFoundError

_stack = views.stack


def _one_by_one(parts, digests, target, *, writable):
    try:
        return _stack(parts, digests, target, writable=writable)
    except LayerNotFoundError:
        if known := [one for one in digests if parts.meta.has_layer(one)]:
            _stack(parts, known, target, writable=writable)
        raise


views.stack = _one_by_one

raise SystemExit(main())
