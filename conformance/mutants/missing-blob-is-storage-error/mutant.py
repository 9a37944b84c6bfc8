"""Mutant: a blob that is missing is told as a failure of the store. Caught by IDN-013."""

from layerfs import adding
from layerfs.cli import main
from layerfs.errors import StorageError

adding.from_os_error = lambda error, doing, path=None: StorageError(
    f"{doing}: {error.strerror}", path=path
)

raise SystemExit(main())
