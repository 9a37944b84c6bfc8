"""Mutant: the real size of a sparse file has 33 bits. Caught by APL-152."""

from layerfs import tarsparse
from layerfs.cli import main

_old_gnu = tarsparse.old_gnu


def _octal(block, more, most):
    entries, size = _old_gnu(block, more, most)
    return entries, size & 0o77777777777


tarsparse.old_gnu = _octal

raise SystemExit(main())
