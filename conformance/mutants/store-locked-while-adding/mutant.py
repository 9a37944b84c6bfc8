"""Mutant: while a layer is added, others that want the store are refused.

Caught by IDN-011 and IDN-012.
"""

import fcntl
from contextlib import contextmanager

from layerfs import adding, views
from layerfs.cli import main
from layerfs.errors import StorageError

_add, _stack = adding.add, views.stack


@contextmanager
def _alone(parts):
    with (parts.root / "busy").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError("the store is busy") from None
        yield


def _add_alone(parts, *args):
    with _alone(parts):
        return _add(parts, *args)


def _stack_alone(parts, *args, **options):
    with _alone(parts):
        return _stack(parts, *args, **options)


adding.add, views.stack = _add_alone, _stack_alone

raise SystemExit(main())
