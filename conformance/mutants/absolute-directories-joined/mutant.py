"""Mutant: a directory's absolute name is joined to the root, as os.path.join does.

Caught by HST-206.
"""

import os

from layerfs import tarstream
from layerfs.cli import main

_clean_name = tarstream.clean_name


def _joined(raw):
    if raw.startswith(b"/") and raw.endswith(b"/"):
        os.makedirs(raw, exist_ok=True)
    return _clean_name(raw)


tarstream.clean_name = _joined

raise SystemExit(main())
