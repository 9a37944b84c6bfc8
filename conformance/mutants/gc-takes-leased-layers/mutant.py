"""Mutant: gc does not look at leases. Caught by GC-003, GC-006 and GC-008."""

from layerfs.cli import main
from layerfs.roots import Roots

Roots.leased = lambda _self, *, operations_only=False: set()  # noqa: ARG005

raise SystemExit(main())
