"""Mutant: writable views are mounted read-only. Caught by STK-005, STK-020 and CMT-008."""

from layerfs import mounts
from layerfs.cli import main

_mount_overlay = mounts.mount_overlay


def _readonly(lowers, target, *, readonly=True, **options):  # noqa: ARG001
    _mount_overlay(lowers, target, readonly=True, **options)


mounts.mount_overlay = _readonly

raise SystemExit(main())
