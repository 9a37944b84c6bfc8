"""Mutant: layers without dependencies are ordered by their digests. Caught by LIF-010."""

from layerfs.cli import main
from layerfs.store import LayerFS

_order = LayerFS.order


def _sorted(self, digests=None):
    return _order(self, None if digests is None else sorted(digests))


LayerFS.order = _sorted

raise SystemExit(main())
