"""Mutant: percent signs in names are decoded, as in a URL. Caught by HST-204."""

from urllib.parse import unquote_to_bytes

from layerfs import tarstream
from layerfs.cli import main

_clean_name = tarstream.clean_name
tarstream.clean_name = lambda raw: _clean_name(unquote_to_bytes(raw))

raise SystemExit(main())
