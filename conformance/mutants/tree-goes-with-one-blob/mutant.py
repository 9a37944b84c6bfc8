"""Mutant: removing one of two compressions of a layer takes the tree of both. Caught by IDN-010."""

from layerfs import removing
from layerfs.cli import main

_discard_unused = removing.discard_unused


def _discard(parts, operation, digest, diff_id):
    _discard_unused(parts, operation, digest, diff_id)
    if diff_id is not None:
        parts.backend.discard(diff_id, operation.trash)


removing.discard_unused = _discard

raise SystemExit(main())
