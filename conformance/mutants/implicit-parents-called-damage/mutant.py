"""Mutant: verify takes directories without an entry for strangers. Caught by VER-001."""

from layerfs.cli import main
from layerfs.verifytree import _Comparison

_metadata = _Comparison._metadata


def _strict(self, node, status, where, *, follow):
    if node.member is None and self._path != b".":
        self._report(self._path, "not in the layer")
    _metadata(self, node, status, where, follow=follow)


_Comparison._metadata = _strict

raise SystemExit(main())
