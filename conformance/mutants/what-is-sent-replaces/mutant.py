"""Mutant: writes a stack over the file that is there. Caught by ZFS-062."""

from contextlib import contextmanager
from pathlib import Path

from layerfs import replication
from layerfs.cli import main


@contextmanager
def sink(_parts, target):
    """Take the name, whoever has it."""
    with Path(target).open("wb") as file:
        yield file


replication._sink = sink

raise SystemExit(main())
