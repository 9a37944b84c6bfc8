"""Mutant: gives read-only views clones, and opens all clones for writing. Caught by ZFS-040."""

import subprocess

from layerfs import recovery
from layerfs.backends.zfsviews import ZfsViews
from layerfs.cli import main

real, real_settle = ZfsViews.view, recovery.settle


def view(self, diff_ids, target, run, *, writable, contents):
    """Make a clone, and close it."""
    real(self, diff_ids, target, run, writable=True, contents=contents)
    if not writable:
        subprocess.run(["mount", "-i", "-o", "remount,bind,ro", target], check=True)


def settle(parts):
    """Find all clones as they should be."""
    for row in parts.meta.mounts():
        subprocess.run(["mount", "-i", "-o", "remount,bind,rw", row.target], check=False)
    return real_settle(parts)


ZfsViews.view, recovery.settle = view, settle

raise SystemExit(main())
