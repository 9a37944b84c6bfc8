"""Mutant: takes ZFS for a file system that cannot hold an upperdir. Caught by ZFS-201."""

from layerfs import mounts
from layerfs.backends.overlay import OverlayBackend
from layerfs.cli import main
from layerfs.errors import InvalidOverlayError

real = OverlayBackend.view


def view(self, diff_ids, target, run, **options):
    """Refuse what would work."""
    root = str(self._root)
    held = max(
        (entry for entry in mounts.mountinfo() if root.startswith(entry.target.decode())),
        key=lambda entry: len(entry.target),
    )
    if options["writable"] and held.fstype == "zfs":
        raise InvalidOverlayError("no writable view can be had on ZFS")
    real(self, diff_ids, target, run, **options)


OverlayBackend.view = view

raise SystemExit(main())
