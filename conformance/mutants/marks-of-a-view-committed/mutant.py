"""Mutant: marks that a process set in a view are committed, and taken back in.

Caught by HST-248.
"""

from layerfs import layerxattrs, ondisk
from layerfs.cli import main

ondisk._OVERLAY = ("trusted.overlay.opaque", "user.overlay.nothing")
layerxattrs._FORGED = (b"trusted.overlay.opaque",)

raise SystemExit(main())
