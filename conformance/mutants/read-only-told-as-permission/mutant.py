"""Mutant: tells a file system that is read-only as a want of permission. Caught by ZFS-210."""

from layerfs import errors, opening
from layerfs.cli import main

opening.ReadOnlyFilesystemError = errors.PermissionDeniedError
errors.WriteFailedError.code = errors.PermissionDeniedError.code

raise SystemExit(main())
