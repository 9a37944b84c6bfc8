"""What an adapter says and hears: PROTOCOL.md, sections 1, 4 and 5, for any implementation.

An adapter is a mapping of verbs to functions, which take a request with its defaults filled in and
return the response. Requests are held against ``protocol.schema.json`` before that. What the
implementation's programs complain about is a refusal where the adapter's table knows the words, and
otherwise a crash: nothing is guessed.

Standard library only, Python 3.11.
"""

from __future__ import annotations

import errno
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import IO, Any, Final, NoReturn

Json = dict[str, Any]
Verbs = Mapping[str, Callable[[Json], Json]]
#: Words of a program's complaint (a regular expression), and the code that they stand for.
Complaints = Sequence[tuple[str, str]]

_SCHEMA: Final = json.loads(
    (Path(__file__).resolve().parents[2] / "protocol.schema.json").read_text(encoding="utf-8")
)
#: Characters of a complaint that are passed on, from its end.
_SHOWN: Final = 1000
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_TYPES: Final[Mapping[str, type]] = {
    "string": str, "integer": int, "boolean": bool, "array": list, "object": dict, "null": NoneType,
}  # fmt: skip


class Refusal(Exception):  # noqa: N818 - the protocol's word
    """A request that is refused; ``facts`` are further fields of the error."""

    def __init__(self, code: str, message: str, **facts: str) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": " ".join(message.split()) or code, **facts}


def crash(why: str) -> NoReturn:
    """End as what no refusal is."""
    sys.exit(why)


def program(
    argv: Sequence[str],
    complaints: Complaints = (),
    *,
    stdin: bytes | IO[bytes] | None = None,
    env: Mapping[str, str] | None = None,
) -> bytes:
    """Run a program to its end and return its standard output.

    Raises Refusal for a complaint of the table; anything else that it says before it fails is a
    crash.
    """
    source: Json = {"stdin": stdin or subprocess.DEVNULL}
    if isinstance(stdin, bytes):
        source = {"input": stdin}
    done = subprocess.run(argv, check=False, env=env, capture_output=True, **source)
    said = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode == 0:
        return done.stdout
    for words, code in complaints:
        if re.search(words, said):
            raise Refusal(code, said[-_SHOWN:])
    crash(f"{shlex.join(argv)}: status {done.returncode}: {said}")


def serve(verbs: Verbs) -> NoReturn:
    """Answer one call, or a session, as the command line says; ends the process."""
    match sys.argv[1:]:
        case ["call", verb]:
            status, said = _answered(verbs, verb, sys.stdin.buffer.read())
            _say(said)
            sys.exit(status)
        case ["session"]:
            for line in sys.stdin.buffer:
                asked = json.loads(line)
                status, said = _answered(verbs, asked["verb"], json.dumps(asked["request"]))
                body = {"response": said} if status == 0 else said
                _say({"id": asked["id"], "status": status, **body})
            sys.exit(0)
    crash("usage: adapter.py call VERB | session")


def _say(answer: Json) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _answered(verbs: Verbs, verb: str, request: str | bytes) -> tuple[int, Json]:
    if verb not in verbs:
        return 11, {"error": {"code": "unsupported", "message": f"{verb} is not offered"}}
    try:
        return 0, verbs[verb](_checked(verb, request))
    except OSError as error:  # of a file that the adapter itself writes
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        return 10, {"error": Refusal("write-failed", str(error)).error}
    except Refusal as refusal:
        return 11 if refusal.error["code"] == "unsupported" else 10, {"error": refusal.error}


def _checked(verb: str, text: str | bytes) -> Json:
    """Return a request with its defaults. Raises Refusal where it is not the protocol's."""
    try:
        request = json.loads(text)
    except ValueError as error:
        raise Refusal("validation-error", f"{verb}: not JSON: {error}") from None
    reference: str = _SCHEMA["properties"][verb]["properties"]["request"]["$ref"]
    schema = _SCHEMA["$defs"][reference.rpartition("/")[2]]
    wrong = next(_wrong(request, schema), None) or next(_malformed(request), None)
    if wrong:
        raise Refusal("validation-error", f"{verb}: the request {wrong}")
    fields = schema["properties"].items()
    return {**{name: one["default"] for name, one in fields if "default" in one}, **request}


def _wrong(value: Any, schema: Json) -> Iterator[str]:
    """Tell what is wrong with a value, in so much of JSON Schema as the protocol uses."""
    if "anyOf" in schema:
        found = [list(_wrong(value, one)) for one in schema["anyOf"]]
        yield from [] if [] in found else found[0]
        return
    kind = schema["type"]
    if not isinstance(value, _TYPES[kind]) or (kind == "integer" and isinstance(value, bool)):
        yield f"must be of the type {kind}"
    elif kind == "string" and not re.search(schema.get("pattern", ""), value):
        yield f"must match {schema['pattern']}"
    elif kind == "array":
        for part in value:
            yield from _wrong(part, schema["items"])
    elif kind == "object":
        known, others = schema.get("properties", {}), schema["additionalProperties"]
        yield from (f"lacks {name}" for name in schema.get("required", ()) if name not in value)
        for name, part in value.items():
            if name in known or others:
                yield from (f"in {name!a} {what}" for what in _wrong(part, known.get(name, others)))
            else:
                yield f"has the unknown field {name!a}"


def _malformed(request: Json) -> Iterator[str]:
    """Tell which digests have not the grammar of digests (section 1)."""
    for name in ("digest", "diff_id", "digests", "dependencies"):
        given = request.get(name)
        for digest in [given] if isinstance(given, str) else given or ():
            if not _DIGEST.fullmatch(digest):
                yield f"has the malformed digest {digest!a}"
