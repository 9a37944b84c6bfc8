"""Mutant: a process unmounts its views when it ends. Caught by STK-004, PRO-005 and PRO-007."""

from layerfs.cli import main
from layerfs.openstores import Stores


def _close(self):
    for _, store in self._open.values():
        store.close()
    self._open.clear()


Stores.close = _close

raise SystemExit(main())
