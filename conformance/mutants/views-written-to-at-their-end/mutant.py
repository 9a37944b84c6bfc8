"""Mutant: writes into a view before it ends it. Caught by ZFS-046."""

import os

from layerfs.backends.zfsviews import ZfsViews
from layerfs.cli import main
from layerfs.errors import from_os_error

real = ZfsViews.end_view


def end_view(self, target, run):
    """Note what was there."""
    noted = self.noted(run)
    if noted is not None and b"@" not in noted[0] and self.mounted(target, run):
        try:
            (target / ".ended").write_bytes(os.urandom(1 << 18))
        except OSError as error:
            raise from_os_error(error, "writing into the view", target) from error
    real(self, target, run)


ZfsViews.end_view = end_view

raise SystemExit(main())
