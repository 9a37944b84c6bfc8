"""Mutant: absolute symlinks are rewritten to stay below the root. Caught by APL-001."""

from layerfs import tarstream
from layerfs.cli import main

_clean_target = tarstream.clean_target
tarstream.clean_target = lambda raw: _clean_target(raw.lstrip(b"/") or b".")

raise SystemExit(main())
