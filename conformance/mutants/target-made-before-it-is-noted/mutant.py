"""Mutant: a target is made before anything is written down of it. Caught by LDG-005."""

import os
from contextlib import suppress

from layerfs import session, verbs
from layerfs.cli import main

_answer = verbs.answer


def _made(opened, verb, request):
    if verb != "stack":
        return _answer(opened, verb, request)
    target = request["target"]
    made = not os.path.lexists(target)
    if made:
        with suppress(OSError):
            os.mkdir(target)
    try:
        response = _answer(opened, verb, request)
    except BaseException:
        if made:
            with suppress(OSError):
                os.rmdir(target)
        raise
    if made:
        meta = opened.get(request["store"])._parts.meta
        with meta.transaction():
            meta.database.write(
                "UPDATE mounts SET created_target = 1 WHERE target = ?", (os.fsencode(target),)
            )
    return response


session.answer = _made

raise SystemExit(main())
