"""Judges what a subject answered: exit status, standard output and standard error, to a response.

Pure functions. The order in which things are looked at is the rule that a crash never counts as a
refusal: first signals and tracebacks, then the exit status, then the JSON, then its shape.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Mapping
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError

from harness.errors import (
    BadAnswer,
    Refused,
    SubjectBrokePromise,
    SubjectCrashed,
    SubjectFailure,
    Unsupported,
)
from harness.protocol import (
    EXIT_DONE,
    EXIT_REFUSED,
    EXIT_UNSUPPORTED,
    VERBS,
    ErrorCode,
    Refusal,
)

CODES: Final[frozenset[str]] = frozenset(get_args(ErrorCode))
#: What the run-time systems of the field write when a program fails in a way it did not foresee.
_TRACEBACK: Final = re.compile(
    rb"^(?:Traceback \(most recent call last\):"  # Python
    rb"|panic: |fatal error: .*\n\ngoroutine "  # Go
    rb"|thread '.*' (?:\(\d+\) )?panicked at "  # Rust
    rb"|Exception in thread "  # the JVM
    rb"|==\d+==ERROR: \w+Sanitizer)",
    re.MULTILINE,
)
_SHOWN: Final = 200


def needed_capabilities(verb: str, request: Mapping[str, Any]) -> set[str]:
    """Return the capabilities without which a subject may answer 11 to this request."""
    known = VERBS.get(verb)
    needed = {known.capability} if known and known.capability else set()
    fields = {
        "writable": bool(request.get("writable")),
        "readonly-store": verb == "open" and bool(request.get("readonly")),
        "limits": verb == "open" and bool(request.get("limits")),
        "zfs": verb == "open" and request.get("zfs") is not None,
        "dependencies": bool(request.get("dependencies")),
        "zstd": str(request.get("media_type", "")).endswith("+zstd"),
        "sha512": any(
            str(request.get(name, "")).startswith("sha512:") for name in ("digest", "diff_id")
        ),
    }
    return needed | {name for name, is_needed in fields.items() if is_needed}


def shown(data: bytes) -> str:
    """Return the last line with something on it, short enough for a message."""
    lines = [line for line in data.splitlines() if line.strip()]
    text = lines[-1].decode("utf-8", "replace").strip() if lines else ""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def check_crash(verb: str, status: int, stdout: bytes, stderr: bytes) -> None:
    """Raise SubjectCrashed for a signal, a traceback, or a status that the protocol lacks."""
    facts: dict[str, Any] = {"verb": verb, "status": status, "stdout": stdout, "stderr": stderr}
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        raise SubjectCrashed(f"{verb}: killed by {name}", **facts)
    if _TRACEBACK.search(stderr):
        raise SubjectCrashed(
            f"{verb}: a traceback on standard error, with exit status {status}: {shown(stderr)}",
            **facts,
        )
    if status not in {EXIT_DONE, EXIT_REFUSED, EXIT_UNSUPPORTED}:
        raise SubjectCrashed(
            f"{verb}: exit status {status}, which the protocol does not know; "
            f"standard error ends in {shown(stderr)}",
            **facts,
        )


def judge(
    verb: str,
    request: Mapping[str, Any],
    declared: frozenset[str],
    *,
    status: int,
    stdout: bytes,
    stderr: bytes,
) -> BaseModel | dict[str, Any]:
    """Return the response of a call that is over, or raise what it was instead.

    A verb that the protocol does not know has no model: its response is returned as it is.
    Raises any of the errors below SubjectFailure but SubjectTimeout.
    """
    check_crash(verb, status, stdout, stderr)
    facts: dict[str, Any] = {"verb": verb, "status": status, "stdout": stdout, "stderr": stderr}
    try:
        answer = json_object(stdout)
    except ValueError as error:
        raise BadAnswer(
            f"{verb}: exit status {status}, but standard output is not one JSON object: {error}",
            **facts,
        ) from None
    if status == EXIT_DONE:
        return _response(answer, facts)
    raise _refusal(request, declared, answer, facts)


def _response(answer: dict[str, Any], facts: dict[str, Any]) -> BaseModel | dict[str, Any]:
    """Return ``answer`` as the model of the verb's response. Raises BadAnswer."""
    verb = facts["verb"]
    known = VERBS.get(verb)
    if known is None:
        return answer
    try:
        return known.response.model_validate(answer)
    except ValidationError as error:
        raise BadAnswer(f"{verb}: response {first_mistake(error)}", **facts) from None


def _refusal(
    request: Mapping[str, Any],
    declared: frozenset[str],
    answer: dict[str, Any],
    facts: dict[str, Any],
) -> SubjectFailure:
    """Return the error that a valid answer of status 10 or 11 stands for. Raises BadAnswer."""
    verb, status = facts["verb"], facts["status"]
    try:
        error = Refusal.model_validate(answer).error
    except ValidationError as mistake:
        code = answer["error"].get("code") if isinstance(answer.get("error"), dict) else None
        what = (
            f"the code {code!r} is not in the protocol's list"
            if isinstance(code, str) and code not in CODES
            else f"no valid error object: {first_mistake(mistake)}"
        )
        raise BadAnswer(f"{verb}: exit status {status}, but {what}", **facts) from None
    if (status == EXIT_UNSUPPORTED) != (error.code == "unsupported"):
        raise BadAnswer(
            f"{verb}: exit status {status} with code {error.code!r}: "
            f"'unsupported' and {EXIT_UNSUPPORTED} belong together",
            **facts,
        )
    if status == EXIT_REFUSED:
        return Refused(error, verb=verb, stdout=facts["stdout"], stderr=facts["stderr"])
    needed = needed_capabilities(verb, request)
    missing = sorted(needed - declared)
    if missing:
        return Unsupported(
            f"{verb}: unsupported: {error.message} (not declared: {', '.join(missing)})", **facts
        )
    promise = f"declares {', '.join(sorted(needed))}" if needed else "every subject must offer it"
    return SubjectBrokePromise(f"{verb}: unsupported: {error.message}, but {promise}", **facts)


def json_object(data: bytes) -> dict[str, Any]:
    """Return the one JSON object that ``data`` is; raises ValueError saying what it is instead.

    Refused beyond the grammar: NaN and Infinity, which are no JSON, and a key given twice, of
    which two readers could see different values.
    """
    if not data.strip():
        raise ValueError("it is empty")
    try:
        text = data.decode("utf-8")
        found = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_unique)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos} of {shown(data)}") from None
    if not isinstance(found, dict):
        raise ValueError(f"a JSON {type(found).__name__}")  # noqa: TRY004 - a value, not a type
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def first_mistake(error: ValidationError) -> str:
    """Return where and what the first mistake is, without the value: on one line."""
    first = error.errors(include_url=False)[0]
    path = ".".join(map(str, first["loc"])) or "as a whole"
    return f"{path}: {first['msg']}"
