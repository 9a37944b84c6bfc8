"""Mutant: leaves case and encoding of names as the parent has them. Caught by ZFS-030."""

from layerfs.backends import zfschains
from layerfs.cli import main

zfschains._FORMAT.clear()

raise SystemExit(main())
