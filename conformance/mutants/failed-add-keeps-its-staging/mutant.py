"""Mutant: what an add wrote before the disk was full stays there. Caught by LIF-015."""

from contextlib import contextmanager

from layerfs.cli import main
from layerfs.errors import WriteFailedError
from layerfs.staging import Staging

_operation = Staging.operation


@contextmanager
def _kept(self):
    with _operation(self) as operation:
        try:
            yield operation
        except WriteFailedError:
            operation.leave_to_recovery()
            raise


Staging.operation = _kept

raise SystemExit(main())
