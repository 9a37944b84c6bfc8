"""Mutant: passes names of datasets on to ZFS as they are. Caught by ZFS-004."""

from layerfs import dataset
from layerfs.cli import main
from layerfs.zfs import names

real = dataset.expect


def expect(name, zfs):
    """Let ZFS find out."""


dataset.expect = expect
names.inner = names.dataset = names.any_name = lambda name: name

raise SystemExit(main())
