"""Mutant: a committed layer has the attributes that overlayfs made for itself.

Caught by CMT-010.
"""

from layerfs import ondisk
from layerfs.cli import main

ondisk._OVERLAY = ()

raise SystemExit(main())
