"""Mutant: order does not mind a dependency that is not there. Caught by LIF-011."""

from layerfs import ordering
from layerfs.cli import main


def _known(_digest, needs, is_known):
    return [need for need in needs if is_known(need)]


ordering._present = _known

raise SystemExit(main())
