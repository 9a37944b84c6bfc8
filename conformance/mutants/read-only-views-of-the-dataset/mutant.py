"""Mutant: mounts the dataset of a chain, and not its snapshot. Caught by ZFS-041."""

from layerfs.backends import zfsviews
from layerfs.cli import main

real, real_is_ours = zfsviews.open_dataset, zfsviews.ZfsViews._is_ours


def is_ours(self, target, run, source, table):
    """Look for the dataset."""
    return real_is_ours(self, target, run, source.partition(b"@")[0], table)


zfsviews.open_dataset = lambda name, **options: real(name.partition("@")[0], **options)
zfsviews.ZfsViews._is_ours = is_ours

raise SystemExit(main())
