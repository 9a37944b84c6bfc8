"""Mutant: destroys whatever it does not know below its dataset. Caught by ZFS-015."""

from layerfs import garbage
from layerfs.cli import main

real = garbage.collect


def collect(parts, **options):
    """Tidy up thoroughly."""
    zfs = parts.backend.zfs
    for row in zfs.children(parts.backend.dataset):
        if not any(name.startswith("layerfs:diff") for name in row.properties):
            zfs.destroy_snapshots([one.name for one in row.snapshots])
            zfs.destroy(row.name)
    return real(parts, **options)


garbage.collect = collect

raise SystemExit(main())
