"""Mutant: leaves the properties of views as the parent dataset has them. Caught by ZFS-047."""

from layerfs.backends import zfsviews
from layerfs.cli import main

zfsviews.PROPERTIES = {}

raise SystemExit(main())
