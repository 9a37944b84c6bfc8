"""Mutant: refuses read-only views on ZFS, as if they had an upperdir. Caught by ZFS-207."""

from layerfs.backends.overlay import OverlayBackend
from layerfs.cli import main
from layerfs.errors import InvalidOverlayError
from layerfs.filesystems import file_system_of

real = OverlayBackend.view


def view(self, diff_ids, target, run, **options):
    """Refuse ZFS altogether."""
    if not options["writable"] and file_system_of(self._root).kind == "zfs":
        raise InvalidOverlayError("ZFS has no RENAME_WHITEOUT")
    real(self, diff_ids, target, run, **options)


OverlayBackend.view = view

raise SystemExit(main())
