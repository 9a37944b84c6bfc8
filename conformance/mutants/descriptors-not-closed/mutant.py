"""Mutant: every operation leaves a file open. Caught by LDG-004."""

import os
from contextlib import contextmanager

from layerfs.cli import main
from layerfs.staging import Staging

_operation = Staging.operation


@contextmanager
def _open(self):
    os.open(self.path, os.O_RDONLY)
    with _operation(self) as operation:
        yield operation


Staging.operation = _open

raise SystemExit(main())
