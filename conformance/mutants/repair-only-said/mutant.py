"""Mutant: repair says that it has mended what it has only looked at. Caught by VER-005."""

from layerfs import repair
from layerfs.cli import main

repair.extract_again = lambda *_: None

raise SystemExit(main())
