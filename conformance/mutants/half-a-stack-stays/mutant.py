"""Mutant: keeps what it has received of a stack that is cut short. Caught by ZFS-064, ZFS-069."""

from layerfs import replication
from layerfs.cli import main

replication._take_back = lambda _parts, _backend, _new: None

raise SystemExit(main())
