"""Mutant: which views there are is kept in the memory of the process that made them.

Caught by UNM-001, UNM-011 and PRO-005.
"""

from layerfs import views
from layerfs.cli import main
from layerfs.errors import InvalidMountPointError
from layerfs.store import LayerFS

_unmount = LayerFS.unmount


def _own(self, target):
    if views.place(target) not in self._mounted:
        raise InvalidMountPointError(f"{target!r} is no view")
    _unmount(self, target)


def _close_own(self):
    for target in list(self._mounted):
        _unmount(self, target)


LayerFS.unmount, LayerFS.close_all_views = _own, _close_own

raise SystemExit(main())
