"""Mutant: gc removes only layers that no other depends on, in one round. Caught by GC-004."""

from layerfs import garbage
from layerfs.cli import main

_collect, _garbage = garbage.collect, garbage._garbage
_rounds = []


def _once(parts, **options):
    _rounds[:] = [1]
    return _collect(parts, **options)


def _tops(parts, *, force):
    found = _garbage(parts, force=force) if _rounds else []
    _rounds.clear()
    return [one for one in found if not parts.meta.dependents(one)]


garbage.collect, garbage._garbage = _once, _tops

raise SystemExit(main())
