"""Mutant: shows trees without what a changed property hides. Caught by ZFS-047."""

from layerfs.backends import zfschains
from layerfs.cli import main

zfschains._SHOWN.clear()

raise SystemExit(main())
