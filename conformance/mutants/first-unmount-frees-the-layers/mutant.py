"""Mutant: the first view that ends lets go of its layers, though others show them.

Caught by UNM-012.
"""

from layerfs import removing, viewstate
from layerfs.cli import main

_forget, _holder = viewstate.forget_ended, removing._holder


def _freed(parts):
    return parts.meta.setting("freed") or []


def _let_go(parts, row):
    with parts.meta.transaction():
        parts.meta.set_setting("freed", sorted({*_freed(parts), *row.digests}))
    _forget(parts, row)


def _held(parts, digest):
    return None if digest in _freed(parts) else _holder(parts, digest)


viewstate.forget_ended, removing._holder = _let_go, _held

raise SystemExit(main())
