"""Mutant: forgets the user properties of others. Caught by ZFS-049."""

import subprocess

from layerfs import recovery
from layerfs.cli import main

real = recovery.settle
ASK = ["zfs", "get", "-H", "-r", "-t", "filesystem", "-s", "local", "-o", "name,property", "all"]


def settle(parts):
    """Let datasets be as they were made."""
    told = subprocess.run([*ASK, parts.backend.dataset], check=True, capture_output=True, text=True)
    for name, key in (line.split("\t") for line in told.stdout.splitlines()):
        if ":" in key and not key.startswith("layerfs:"):
            subprocess.run(["zfs", "inherit", key, name], check=True)
    return real(parts)


recovery.settle = settle

raise SystemExit(main())
