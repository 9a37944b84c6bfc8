"""Mutant: control characters in names are replaced. Caught by APL-015."""

import re

from layerfs import tarstream
from layerfs.cli import main

_clean_name = tarstream.clean_name
tarstream.clean_name = lambda raw: _clean_name(re.sub(rb"[\x01-\x1f\x7f]", b"?", raw))

raise SystemExit(main())
