"""Mutant: directories without an entry are made as mkdir(2) makes them. Caught by APL-032."""

import os

from layerfs import apply
from layerfs.cli import main

_umask = os.umask(0o022)
os.umask(_umask)
apply._IMPLICIT_MODE = 0o777 & ~_umask

raise SystemExit(main())
