"""Mutant: does not know a view whose dataset was renamed. Caught by ZFS-048."""

from layerfs.backends.zfsviews import ZfsViews
from layerfs.cli import main

ZfsViews._is_renamed = lambda *_: False

raise SystemExit(main())
