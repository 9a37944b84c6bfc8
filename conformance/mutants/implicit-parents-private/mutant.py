"""Mutant: directories without an entry stay as private as they were made. Caught by APL-008."""

from layerfs import apply
from layerfs.cli import main

apply._IMPLICIT_MODE = 0o700

raise SystemExit(main())
