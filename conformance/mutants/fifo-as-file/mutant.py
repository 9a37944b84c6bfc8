"""Mutant: a fifo becomes an empty file. Caught by APL-001."""

import stat

from layerfs import apply
from layerfs.cli import main

apply._SPECIAL["fifo"] = stat.S_IFREG

raise SystemExit(main())
