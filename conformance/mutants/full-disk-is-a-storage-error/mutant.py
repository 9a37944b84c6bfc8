"""Mutant: that there is no space is told as an error of the disk. Caught by LIF-015."""

from layerfs.cli import main
from layerfs.errors import StorageError, WriteFailedError

WriteFailedError.code = StorageError.code

raise SystemExit(main())
