"""Mutant: a name with '..' is tidied as text, and taken. Caught by HST-001."""

import posixpath

from layerfs import tarstream
from layerfs.cli import main

_clean_name = tarstream.clean_name


def _tidied(raw):
    return _clean_name(posixpath.normpath(b"/" + raw) if b".." in raw else raw)


tarstream.clean_name = _tidied

raise SystemExit(main())
