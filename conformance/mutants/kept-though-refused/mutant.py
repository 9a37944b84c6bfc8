"""Mutant: digests are compared when the layer is in the store already.

Caught by IDN-004 and IDN-005.
"""

from layerfs import adding
from layerfs.cli import main
from layerfs.reading import Expected

_add = adding.add


def _late(parts, source, wanted, extra):
    wanted.check()
    layer = _add(parts, source, Expected(wanted.media_type, diff_id=wanted.diff_id), extra)
    wanted.compare(layer.digest, layer.size)
    return layer


adding.add = _late

raise SystemExit(main())
