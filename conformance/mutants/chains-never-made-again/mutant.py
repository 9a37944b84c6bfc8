"""Mutant: relies on its records where somebody has destroyed a dataset. Caught by ZFS-016."""

from layerfs.backends import zfschains, zfsviews
from layerfs.cli import main
from layerfs.errors import MountFailedError

real = zfsviews.open_dataset
zfschains.ZfsChains.is_whole = lambda _self, _chain, **_more: True


def open_dataset(name, *, readonly):
    """Say that it is not there."""
    try:
        return real(name, readonly=readonly)
    except FileNotFoundError as error:
        raise MountFailedError(f"no dataset {name}") from error


zfsviews.open_dataset = open_dataset

raise SystemExit(main())
