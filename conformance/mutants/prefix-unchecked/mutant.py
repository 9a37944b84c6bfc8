"""Mutant: a ustar prefix may have '..' in it. Caught by HST-202."""

from layerfs import tarstream
from layerfs.cli import main

_with_prefix = tarstream.with_prefix


def _tidied(block, name):
    return b"/".join(part for part in _with_prefix(block, name).split(b"/") if part != b"..")


tarstream.with_prefix = _tidied

raise SystemExit(main())
