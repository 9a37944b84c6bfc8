"""Mutant: SIGINT is answered with a refusal. Caught by LIF-017."""

import os
import signal


def _refuse(_number, _frame):
    answer = b'{"error": {"code": "storage-error", "message": "interrupted"}}'
    os.write(1, answer)
    os._exit(10)


signal.signal(signal.SIGINT, _refuse)

from layerfs.cli import main  # noqa: E402 - it may come as soon as this

raise SystemExit(main())
