"""Mutant: a session ends when it has refused something. Caught by PRO-006."""

import os

from layerfs import output, session
from layerfs.cli import main

_reply = session.reply


def _last(opened, line):
    answer = _reply(opened, line)
    if answer["status"]:
        output.put(session.encoded(answer))
        os._exit(0)
    return answer


session.reply = _last

raise SystemExit(main())
