"""Mutant: takes the sender's word for what the receiver has. Caught by ZFS-065."""

from layerfs import replication
from layerfs.cli import main

replication._expect = lambda _parts, _layer: None

raise SystemExit(main())
