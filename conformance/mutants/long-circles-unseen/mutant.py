"""Mutant: only layers that depend directly on each other are a circle. Caught by LIF-012."""

from layerfs import ordering
from layerfs.cli import main
from layerfs.errors import CircularDependencyError

_order = ordering.order


def _short_circles(start, needs, *, circles=False):
    try:
        return _order(start, needs, circles=circles)
    except CircularDependencyError as error:
        if error.message.count(" -> ") <= 2:
            raise
        return _order(start, needs, circles=True)


ordering.order = _short_circles

raise SystemExit(main())
