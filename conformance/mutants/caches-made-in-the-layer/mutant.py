"""Mutant: after a layer is unpacked its own ldconfig is run. Caught by HST-235."""

import contextlib
import subprocess

from layerfs.backends.overlay import OverlayBackend
from layerfs.cli import main

_ingest = OverlayBackend.ingest


def _with_cache(self, reader, staging):
    _ingest(self, reader, staging)
    with contextlib.suppress(OSError):
        subprocess.run([staging / "diff/sbin/ldconfig"], check=False)


OverlayBackend.ingest = _with_cache

raise SystemExit(main())
