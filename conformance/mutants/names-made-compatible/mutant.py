"""Mutant: names are normalised, which makes two dots of others. Caught by HST-204."""

import os
import unicodedata

from layerfs import tarstream
from layerfs.cli import main

_clean_name = tarstream.clean_name


def _normalised(raw):
    return _clean_name(os.fsencode(unicodedata.normalize("NFKC", os.fsdecode(raw))))


tarstream.clean_name = _normalised

raise SystemExit(main())
