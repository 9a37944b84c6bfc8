"""Mutant: keeps the store's directory open after close. Caught by ZFS-217, ZFS-218."""

import os

from layerfs import openstores
from layerfs.cli import main

real = openstores.Stores.end


def end(self, root):
    """Hold on to what a later open will need."""
    real(self, root)
    os.open(root, os.O_RDONLY)


openstores.Stores.end = end

raise SystemExit(main())
