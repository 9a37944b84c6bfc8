"""Mutant: takes over the dataset of a store whose directory is lost. Caught by ZFS-050."""

import re

from layerfs import dataset
from layerfs.cli import main

real = dataset._refuse_full


def refuse_full(name, zfs):
    """Take what looks like ours."""
    children = zfs.facts_of(name).children
    if not all(re.fullmatch("[0-9a-f]{64}", one.rpartition("/")[2]) for one in children):
        real(name, zfs)


dataset._refuse_full = refuse_full
dataset._refuse_taken = lambda *_: None

raise SystemExit(main())
