"""Mutant: ends collection at the first layer that somebody else keeps. Caught by ZFS-012."""

from layerfs import garbage
from layerfs.cli import main
from layerfs.removing import release


def kept(parts, layers):
    """Give up at once."""
    for digest, diff_id in layers:
        release(parts, digest, diff_id)
    return {}


garbage._kept = kept

raise SystemExit(main())
