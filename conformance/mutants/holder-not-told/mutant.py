"""Mutant: what holds a layer or a view is not told.

Caught by LIF-006, LIF-007, LIF-009 and UNM-002.
"""

from layerfs.cli import main
from layerfs.errors import LayerFSError

_facts = LayerFSError.facts


def _without_holder(self):
    return {name: value for name, value in _facts(self).items() if name != "holder"}


LayerFSError.facts = _without_holder

raise SystemExit(main())
