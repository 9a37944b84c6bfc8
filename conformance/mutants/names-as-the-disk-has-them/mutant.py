"""Mutant: a layer is written in the order in which its directories are read. Caught by CMT-004."""

from layerfs import merge
from layerfs.cli import main

merge.sorted = lambda names, key: list(names)  # noqa: ARG005

raise SystemExit(main())
