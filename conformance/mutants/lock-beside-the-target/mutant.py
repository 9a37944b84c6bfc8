"""Mutant: while a view is mounted, a lock file lies beside its target. Caught by LDG-001."""

import os
from contextlib import suppress

from layerfs import views
from layerfs.cli import main
from layerfs.store import LayerFS

_stack, _unmount = LayerFS.stack, views.unmount


def _locked(self, digests, target, **options):
    mount = _stack(self, digests, target, **options)
    with open(f"{mount.target}.lock", "wb"):
        return mount


def _unlocked(parts, target):
    where = _unmount(parts, target)
    with suppress(FileNotFoundError):
        os.unlink(f"{where}.lock")
    return where


LayerFS.stack, views.unmount = _locked, _unlocked

raise SystemExit(main())
