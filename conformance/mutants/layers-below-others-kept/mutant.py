"""Mutant: removes a layer only from the top of stacks. Caught by ZFS-073."""

from layerfs.chains import Chains
from layerfs.cli import main

Chains.with_layer = Chains.topped_by

raise SystemExit(main())
