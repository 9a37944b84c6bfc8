"""The conformance protocol, version 1, around a table of verbs: nothing here is to be changed.

``call VERB`` answers one request from standard input, ``session`` one for each line. Python 3.9 or
later, standard library only.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

DONE, REFUSED, UNSUPPORTED = 0, 10, 11
#: Each verb: what does it, and the types of its fields; those that begin with "?" may be left out.
Verbs = dict[str, tuple[Callable[..., dict[str, Any]], dict[str, type]]]
#: Fields that may be null, which is as if they were left out.
NULLABLE = {"digest", "size", "diff_id", "zfs"}


class RefusedError(Exception):
    """Why a request is refused: a code of section 5, words for people, and facts."""

    def __init__(self, code: str, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message.replace("\n", " "), **facts}


def serve(verbs: Verbs) -> None:
    """Do what the command line asks, and end."""
    os.umask(0o022)
    try:
        sys.exit(session(verbs) if sys.argv[1] == "session" else call(verbs, sys.argv[2]))
    except KeyboardInterrupt:
        sys.exit(130)


def answer(verbs: Verbs, verb: str, request: object) -> tuple[int, dict[str, Any]]:
    """Return the exit status, and the response or the error."""
    try:
        if verb not in verbs:
            raise RefusedError("unsupported", f"no verb {verb}")
        function, fields = verbs[verb]
        return DONE, function(**checked(request, fields))
    except RefusedError as refused:
        status = UNSUPPORTED if refused.error["code"] == "unsupported" else REFUSED
        return status, {"error": refused.error}


def checked(request: object, fields: dict[str, type]) -> dict[str, Any]:
    """Return the fields that were given, each of its type; refuses all others."""
    if not isinstance(request, dict):
        raise RefusedError("validation-error", "a request is one JSON object")
    known = {name.lstrip("?"): kind for name, kind in fields.items()}
    for name in request.keys() - known.keys():
        raise RefusedError("validation-error", f"unknown field {name!r}")
    for name in fields.keys() - request.keys():
        if not name.startswith("?"):
            raise RefusedError("validation-error", f"{name} is missing")
    given = {name: v for name, v in request.items() if v is not None or name not in NULLABLE}
    for name, value in given.items():
        if type(value) is not known[name]:
            raise RefusedError("validation-error", f"{name} must be a {known[name].__name__}")
    if not given.get("store", "/").startswith("/"):
        raise RefusedError("validation-error", "store must be an absolute path")
    return given


def call(verbs: Verbs, verb: str) -> int:
    try:
        request = json.loads(sys.stdin.buffer.read().decode())
    except ValueError as error:
        status, said = REFUSED, {"error": {"code": "validation-error", "message": str(error)}}
    else:
        status, said = answer(verbs, verb, request)
    print(json.dumps(said))
    return status


def session(verbs: Verbs) -> int:
    for line in sys.stdin:
        asked = json.loads(line)
        status, said = answer(verbs, asked["verb"], asked["request"])
        said = said if status else {"response": said}
        print(json.dumps({"id": asked["id"], "status": status, **said}), flush=True)
    return 0
