"""Mutant: layers are held before they are mounted, also when they are not. Caught by UNM-013."""

from layerfs import holding, views
from layerfs.cli import main
from layerfs.store import LayerFS

_stack, _unmount = views.stack, LayerFS.unmount


def _hold_first(parts, digests, target, *, writable):
    holding.layers_of(parts, digests)
    with parts.meta.transaction():
        parts.meta.roots.put_lease(f"view {target}", digests)
    return _stack(parts, digests, target, writable=writable)


def _let_go(self, target):
    _unmount(self, target)
    self.release(f"view {target}")


views.stack, LayerFS.unmount = _hold_first, _let_go

raise SystemExit(main())
