"""Mutant: does not tell a pool that is not imported from any other error. Caught by ZFS-034."""

from layerfs.cli import main
from layerfs.errors import ZFSError
from layerfs.zfs import failure

failure.ZFSDatasetNotFoundError = ZFSError

raise SystemExit(main())
