"""Mutant: of a symlink's target the first 4095 bytes count. Caught by HST-156."""

from layerfs import tarstream
from layerfs.cli import main

_clean_target = tarstream.clean_target
tarstream.clean_target = lambda raw: _clean_target(raw[:4095])

raise SystemExit(main())
