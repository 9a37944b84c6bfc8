"""Mutant: takes a dataset whose .zfs is visible for somebody's directory. Caught by ZFS-213."""

from layerfs import opening
from layerfs.cli import main

opening._OURS -= {".zfs"}

raise SystemExit(main())
