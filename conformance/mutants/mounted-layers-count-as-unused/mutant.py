"""Mutant: statistics count mounted layers as unused, too. Caught by LIF-018."""

from layerfs.cli import main
from layerfs.store import LayerFS

_stats = LayerFS.stats


def _counted(self):
    found = _stats(self)
    return found._replace(unused=found.layers - found.referenced)


LayerFS.stats = _counted

raise SystemExit(main())
