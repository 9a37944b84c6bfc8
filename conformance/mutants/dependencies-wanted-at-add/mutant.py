"""Mutant: a layer whose dependencies are not there yet cannot be added.

Caught by LIF-011 and LIF-012.
"""

from layerfs import adding
from layerfs.cli import main
from layerfs.errors import InvalidLayerOrderError

_add = adding.add


def _in_order(parts, source, wanted, extra):
    extra.check()
    for need in extra.dependencies:
        if not parts.meta.has_layer(need):
            raise InvalidLayerOrderError(f"no layer {need} to depend on", digest=need)
    return _add(parts, source, wanted, extra)


adding.add = _in_order

raise SystemExit(main())
