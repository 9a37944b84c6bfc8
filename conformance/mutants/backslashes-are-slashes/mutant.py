"""Mutant: a backslash separates names, as on another system. Caught by HST-204 and HST-205."""

from layerfs import tarstream
from layerfs.cli import main

_clean_name = tarstream.clean_name
tarstream.clean_name = lambda raw: _clean_name(raw.replace(b"\\", b"/"))

raise SystemExit(main())
