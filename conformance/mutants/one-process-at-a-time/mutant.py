"""Mutant: a store that another process has open is refused.

Caught by STK-018, LIF-021, GC-008 and PRO-008.
"""

import fcntl

from layerfs import recovery
from layerfs.cli import main
from layerfs.errors import StorageError
from layerfs.opening import Parts

_open_parts, _close = recovery.open_parts, Parts.close
_owned = {}


def _open_alone(root, **options):
    parts = _open_parts(root, **options)
    owner = (parts.root / "owner").open("wb")
    try:
        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StorageError(f"store {str(root)!r} is open in another process") from None
    _owned[id(parts)] = owner
    return parts


def _let_go(self):
    _close(self)
    _owned.pop(id(self)).close()


recovery.open_parts, Parts.close = _open_alone, _let_go

raise SystemExit(main())
