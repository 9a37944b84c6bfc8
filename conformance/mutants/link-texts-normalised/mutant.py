"""Mutant: the text of a symlink is put into its shortest form. Caught by APL-117."""

import posixpath

from layerfs import tarstream
from layerfs.cli import main

_clean_target = tarstream.clean_target

tarstream.clean_target = lambda raw: posixpath.normpath(_clean_target(raw))

raise SystemExit(main())
