"""Mutant: a merge forgets that a new directory hides the one below. Caught by MRG-002."""

from layerfs.cli import main
from layerfs.merge import _Changes

_directory = _Changes._directory


def _transparent(self, path, stack, *, hiding):  # noqa: ARG001
    return _directory(self, path, stack, hiding=False)


_Changes._directory = _transparent

raise SystemExit(main())
