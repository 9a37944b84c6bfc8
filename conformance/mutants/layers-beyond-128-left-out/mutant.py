"""Mutant: of a deep stack only the upper 128 layers are mounted. Caught by STK-008."""

from layerfs import mounts
from layerfs.cli import main

_mount_overlay = mounts.mount_overlay


def _upper_128(lowers, target, **options):
    _mount_overlay(lowers[:128], target, **options)


mounts.mount_overlay = _upper_128

raise SystemExit(main())
