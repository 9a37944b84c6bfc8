"""Mutant: what is done is written to a log in the directory for temporary files.

Caught by LDG-001 and LDG-003.
"""

import os

from layerfs import verbs
from layerfs.cli import main

_answer = verbs.answer


def _logged(opened, verb, request):
    if verb != "info":
        with open(os.path.join(os.environ.get("TMPDIR", "/tmp"), "layers.log"), "a") as log:  # noqa: S108
            print(verb, file=log)
    return _answer(opened, verb, request)


verbs.answer = _logged

raise SystemExit(main())
