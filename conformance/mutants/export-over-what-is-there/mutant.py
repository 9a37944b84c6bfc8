"""Mutant: an export writes into any directory. Caught by IMG-010."""

import os
from contextlib import contextmanager
from pathlib import Path

from layerfs import export
from layerfs.cli import main
from layerfs.errors import from_os_error


@contextmanager
def _any(_parts, path):
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise from_os_error(error, "exporting to", str(path)) from error
    yield Path(path)


export._directory = _any

raise SystemExit(main())
