"""Mutant: too many symlinks on a way are told as a limit of the store. Caught by HST-210."""

from layerfs import layertree
from layerfs.cli import main
from layerfs.errors import LimitExceededError

_astray = layertree._astray


def _told(path, why):
    if "too many" in why:
        return LimitExceededError(f"{path!r} leads through {why}", limit="symlinks=40")
    return _astray(path, why)


layertree._astray = _told

raise SystemExit(main())
