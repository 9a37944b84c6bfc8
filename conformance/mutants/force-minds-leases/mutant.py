"""Mutant: gc keeps leased layers also with force. Caught by GC-003 and GC-006."""

from layerfs.cli import main
from layerfs.roots import Roots

_leased = Roots.leased


def _always(self, *, operations_only=False):  # noqa: ARG001
    return _leased(self)


Roots.leased = _always

raise SystemExit(main())
