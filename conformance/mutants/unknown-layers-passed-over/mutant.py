"""Mutant: a view of layers that are not all there is one of the others. Caught by IDN-008."""

from layerfs import holding
from layerfs.cli import main

_found = holding._found


def _known(parts, digests, find):
    return _found(parts, [one for one in digests if parts.meta.has_layer(one)] or digests, find)


holding._found = _known

raise SystemExit(main())
