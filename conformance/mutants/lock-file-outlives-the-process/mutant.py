"""Mutant: who adds a layer makes a lock file, which stays when he is killed. Caught by LIF-016."""

import os

from layerfs import adding
from layerfs.cli import main
from layerfs.errors import StorageError

_add = adding.add


def _alone(parts, source, wanted, extra):
    lock = parts.root / "adding"
    try:
        os.close(os.open(lock, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        raise StorageError("another process adds a layer") from None
    try:
        return _add(parts, source, wanted, extra)
    finally:
        lock.unlink()


adding.add = _alone

raise SystemExit(main())
