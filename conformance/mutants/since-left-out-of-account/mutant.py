"""Mutant: sends all layers, whatever the receiver has. Caught by ZFS-061."""

from layerfs import replication
from layerfs.cli import main

real = replication.send


def send(parts, digests, target, _since=(), progress=None):
    """Be on the safe side."""
    real(parts, digests, target, (), progress)


replication.send = send

raise SystemExit(main())
