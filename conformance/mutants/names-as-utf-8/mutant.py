"""Mutant: names are text, in UTF-8. Caught by APL-015."""

from layerfs import tarstream
from layerfs.cli import main

_clean_name = tarstream.clean_name
tarstream.clean_name = lambda raw: _clean_name(raw.decode("utf-8", "replace").encode())

raise SystemExit(main())
