"""Mutant: a copy of a view in another mount namespace does not count as use. Caught by UNM-005."""

from layerfs import mounts
from layerfs.cli import main

mounts.copies = lambda _entry, _table=None: []

raise SystemExit(main())
