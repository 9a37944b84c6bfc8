"""Mutant: open makes a store of any directory, whatever is in it. Caught by LIF-002."""

from layerfs import opening
from layerfs.cli import main

opening._refuse_foreign = lambda _root, readonly: None  # noqa: ARG005

raise SystemExit(main())
