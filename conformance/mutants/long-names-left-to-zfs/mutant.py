"""Mutant: does not see that names are too long before it is too late. Caught by ZFS-070."""

from layerfs.backends import zfschains
from layerfs.cli import main

zfschains.refuse_long = lambda _place: None

raise SystemExit(main())
