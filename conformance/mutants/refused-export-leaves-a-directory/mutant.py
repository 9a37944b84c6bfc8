"""Mutant: an export makes its directory before it knows what to write. Caught by IMG-011."""

import os

from layerfs import export
from layerfs.cli import main

_export_layout = export.export_layout


def _make_first(parts, path, *what, **options):
    if not os.path.lexists(path) and parts.root not in path.parents:
        os.mkdir(path)
    return _export_layout(parts, path, *what, **options)


export.export_layout = _make_first

raise SystemExit(main())
