"""Mutant: overlayfs's marks are taken from archives, since root may set them.

Caught by HST-011 and HST-233.
"""

from layerfs import layerxattrs
from layerfs.cli import main

layerxattrs._FORGED = (b"user.overlay.",)

raise SystemExit(main())
