"""Mutant: an empty list of layers is refused as a layer that is not found.

Caught by STK-015 and MRG-004.
"""

from layerfs import holding
from layerfs.cli import main
from layerfs.errors import LayerNotFoundError

_found = holding._found


def _some(parts, digests, find):
    if not digests:
        raise LayerNotFoundError("no such layers")
    return _found(parts, digests, find)


holding._found = _some

raise SystemExit(main())
