"""Mutant: a whiteout with an absolute name removes what has it on the host. Caught by HST-206."""

import contextlib
import os

from layerfs import tarstream
from layerfs.cli import main

_clean_name = tarstream.clean_name


def _obeyed(raw):
    if raw.startswith(b"/") and b"/.wh." in raw:
        with contextlib.suppress(OSError):
            os.unlink(raw.replace(b"/.wh.", b"/"))
    return _clean_name(raw)


tarstream.clean_name = _obeyed

raise SystemExit(main())
