"""Mutant: close collects garbage, to which it counts all that no image keeps. Caught by IDN-018."""

from layerfs.cli import main
from layerfs.store import LayerFS

_close_all_views = LayerFS.close_all_views


def _close(self):
    _close_all_views(self)
    self.collect_garbage(force=True)


LayerFS.close_all_views = _close

raise SystemExit(main())
