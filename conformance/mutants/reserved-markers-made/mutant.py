"""Mutant: markers for no possible name are files like any other. Caught by WHT-012."""

from layerfs import layertree
from layerfs.cli import main
from layerfs.errors import HostileLayerError

_classify = layertree.classify


def _of_names(name, *, is_dir=False):
    try:
        return _classify(name, is_dir=is_dir)
    except HostileLayerError:
        if is_dir:
            raise
        return None


layertree.classify = _of_names

raise SystemExit(main())
