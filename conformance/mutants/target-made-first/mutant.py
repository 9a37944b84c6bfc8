"""Mutant: the target is made before anything is looked at, and stays when that is refused.

Caught by STK-019.
"""

import os
from contextlib import suppress

from layerfs import views
from layerfs.cli import main

_stack, _check_target = views.stack, views._check_target
_made = set()


def _make_first(parts, digests, target, *, writable):
    where = views.place(target)
    with suppress(OSError):
        os.mkdir(where)
        _made.add(where)
    return _stack(parts, digests, target, writable=writable)


def _check(parts, where):
    if where in _made:
        _made.discard(where)
        os.rmdir(where)
    return _check_target(parts, where)


views.stack, views._check_target = _make_first, _check

raise SystemExit(main())
