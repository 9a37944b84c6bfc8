"""Mutant: stacking looks through symlinks in the stored trees. Caught by HST-266."""

import os

from layerfs.backends import shim
from layerfs.cli import main

_plan = shim.plan


def _followed(trees, *, userxattr):
    for tree in trees:
        for here, _, _ in os.walk(tree.path, followlinks=True):
            os.listdir(here)
    return _plan(trees, userxattr=userxattr)


shim.plan = _followed

raise SystemExit(main())
