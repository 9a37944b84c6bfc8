"""Mutant: tells a read-only pool as a full one. Caught by ZFS-058."""

from layerfs.cli import main
from layerfs.errors import WriteFailedError
from layerfs.zfs import failure

failure.ReadOnlyFilesystemError = WriteFailedError

raise SystemExit(main())
