"""Mutant: a view with a socket cannot be committed. Caught by CMT-012."""

from layerfs.cli import main
from layerfs.errors import InvalidLayerPathError
from layerfs.ondisk import Directory

_special = Directory.special


def _strict(self, path, name, seen):
    found = _special(self, path, name, seen)
    if found is None:
        raise InvalidLayerPathError(f"{path!r} is a socket", path=path)
    return found


Directory.special = _strict

raise SystemExit(main())
