"""The protocol on standard input and output: one request (``call``), or many (``session``).

A session's requests are JSON lines, each answered by a line, in order: ``{"id": 1, "verb": "get",
"request": {…}}`` by ``{"id": 1, "status": 0, "response": {…}}``, or by a refusal, ``{"id": 1,
"status": 10, "error": {"code", "message", …}}`` (11 for what is not offered). A line that is no
such object is refused too, under its id where that can be read, and under -1 otherwise. A refusal
does not end a session; the end of its input does, and leaves what was mounted as it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

from layerfs import fields, output
from layerfs.errors import LayerFSError, UnsupportedError, ValidationError
from layerfs.openstores import Stores, stores
from layerfs.verbs import answer

DONE: Final = 0
REFUSED: Final = 10
UNSUPPORTED: Final = 11

#: The id of an answer to a line whose own id cannot be read.
NO_ID: Final = -1


def call(verb: str) -> int:
    """Do the request on standard input; return the exit status."""
    try:
        with stores() as opened:
            request = decoded(sys.stdin.buffer.read() if sys.stdin is not None else b"")
            response = answer(opened, verb, request)
    except LayerFSError as error:
        return refuse(error)
    output.put(encoded(response))
    return DONE


def session() -> int:
    """Answer every line of standard input, each before the next is read."""
    if sys.stdin is not None:
        with stores() as opened:
            for line in sys.stdin.buffer:
                output.put(encoded(reply(opened, line)))
    return DONE


def refuse(error: LayerFSError) -> int:
    """Print a refusal as the protocol has it; return its exit status."""
    output.put(encoded({"error": error.facts()}))
    return status_of(error)


def reply(opened: Stores, line: bytes) -> dict[str, Any]:
    """Return the answer to one line."""
    identity = NO_ID
    try:
        asked = decoded(line)
        if isinstance(asked, dict) and not fields.WHOLE.check(asked.get("id")):
            identity = asked["id"]
        asked = fields.checked("session", _LINE, asked)
        response = answer(opened, asked["verb"], asked["request"])
    except LayerFSError as error:
        return {"id": identity, "status": status_of(error), "error": error.facts()}
    return {"id": identity, "status": DONE, "response": response}


_LINE: Final[Mapping[str, fields.Field]] = {
    "id": fields.WHOLE,
    "verb": fields.TEXT,
    "request": fields.Field(lambda _: ""),
}


def status_of(error: LayerFSError) -> int:
    """Return the exit status of a refusal."""
    return UNSUPPORTED if isinstance(error, UnsupportedError) else REFUSED


def encoded(found: Mapping[str, Any]) -> str:
    """Return an answer as a line of JSON, all ASCII: bytes of names travel as lone surrogates."""
    return json.dumps(found) + "\n"


def decoded(data: bytes) -> Any:
    """Return the JSON value in ``data``. ValidationError if there is none, or one too many."""
    try:
        return json.loads(data, object_pairs_hook=_once, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise ValidationError(f"a request must be UTF-8: byte {error.start} is not") from None
    except RecursionError:
        raise ValidationError("a request must be JSON, and not nested as deep as that") from None
    except ValueError as error:  # JSONDecodeError, or a number of more digits than Python takes
        raise ValidationError(f"a request must be one JSON object: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValidationError(f"a request names the field {twice[:80]!r} twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValidationError(f"a request must be JSON, which has no {name}")
