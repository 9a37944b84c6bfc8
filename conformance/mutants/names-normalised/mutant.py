"""Mutant: names are put into Unicode normal form C. Caught by APL-106."""

import os
import unicodedata

from layerfs import tarstream
from layerfs.cli import main

_clean_name = tarstream.clean_name


def _normalised(raw):
    return os.fsencode(unicodedata.normalize("NFC", os.fsdecode(_clean_name(raw))))


tarstream.clean_name = _normalised

raise SystemExit(main())
