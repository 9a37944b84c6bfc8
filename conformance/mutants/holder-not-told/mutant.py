"""Mutant: what holds a layer or a view is not told.

Caught by LIF-007, LIF-009, LIF-022 and UNM-014.
"""

from layerfs.cli import main
from layerfs.errors import LayerFSError

_facts = LayerFSError.facts


def _without_holder(self):
    return {name: value for name, value in _facts(self).items() if name != "holder"}


LayerFSError.facts = _without_holder

raise SystemExit(main())
