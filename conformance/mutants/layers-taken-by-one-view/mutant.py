"""Mutant: a layer can be in one view at a time. Caught by STK-016, STK-006 and UNM-012."""

from layerfs import views
from layerfs.cli import main
from layerfs.errors import LayerInUseError

_stack = views.stack


def _exclusive(parts, digests, target, *, writable):
    for digest in digests:
        if taken := parts.meta.mounts(digest=digest):
            raise LayerInUseError(f"layer {digest} is mounted", holder=taken[0].target)
    return _stack(parts, digests, target, writable=writable)


views.stack = _exclusive

raise SystemExit(main())
