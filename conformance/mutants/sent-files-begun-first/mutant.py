"""Mutant: makes the file of a stack before it knows whether it can be sent. Caught by ZFS-062."""

from pathlib import Path

from layerfs import replication
from layerfs.cli import main

real = replication.send


def send(parts, digests, target, since=(), progress=None):
    """See that it can be written, and write it."""
    with Path(target).open("ab") as file:
        real(parts, digests, file, since, progress)


replication.send = send

raise SystemExit(main())
