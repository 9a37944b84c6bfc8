"""Mutant: gc with force removes also what is mounted or in an image.

Caught by GC-002 and GC-005.
"""

from layerfs import garbage
from layerfs.cli import main

_garbage = garbage._garbage


def _all(parts, *, force):
    return parts.meta.digests() if force else _garbage(parts, force=False)


garbage._garbage = _all

raise SystemExit(main())
