"""What a request may hold: the kinds of fields, and the check of a whole request. No I/O.

A request is checked before anything is done. ValidationError names the first field that is
unknown, missing, or of the wrong type. Digests are only strings here: the store refuses malformed
ones, and says what is wrong with them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from layerfs.errors import ValidationError

_SHOWN: Final = 80


class Field(NamedTuple):
    """One field of a request. ``check`` says what is wrong with a value, "" if nothing is."""

    check: Callable[[Any], str]
    default: Any = ...  #: Ellipsis: the field is required

    def or_null(self) -> Field:
        """Return the same field where it need not be given, or may be null."""
        return Field(lambda value: "" if value is None else self.check(value), None)

    def otherwise(self, default: object) -> Field:
        """Return the same field where it need not be given."""
        return Field(self.check, default)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return "must be a string"
    try:
        # Bytes that are not UTF-8 travel as lone surrogates; other surrogates mean nothing.
        os.fsencode(value)
    except UnicodeEncodeError:
        return "has a character that no bytes stand for"
    return ""


def _path(value: Any) -> str:
    if wrong := _text(value):
        return wrong
    if not value.startswith("/"):
        return "must be an absolute path"
    return "has a NUL byte" if "\0" in value else ""


def _name(value: Any) -> str:
    if wrong := _text(value):
        return wrong
    try:
        value.encode()
    except UnicodeEncodeError:
        return "must be a name in UTF-8"
    return ""


def _flag(value: Any) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def _whole(value: Any) -> str:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return "" if whole else "must be a whole number"


def _count(value: Any) -> str:
    return _whole(value) or ("" if value >= 0 else "must not be negative")


def _counts(value: Any) -> str:
    if not isinstance(value, dict):
        return "must be an object of whole numbers"
    each = ((name, _count(one)) for name, one in value.items())
    return next((f"{name[:_SHOWN]!r} {wrong}" for name, wrong in each if wrong), "")


def _texts(value: Any) -> str:
    if not isinstance(value, (list, tuple)):
        return "must be a list of strings"
    return next((f"item {at} {wrong}" for at, one in enumerate(value) if (wrong := _text(one))), "")


TEXT: Final = Field(_text)
#: An absolute path on this host.
PATH: Final = Field(_path)
#: A name that is kept in the store's metadata.
NAME: Final = Field(_name)
FLAG: Final = Field(_flag, default=False)
WHOLE: Final = Field(_whole)
COUNT: Final = Field(_count)
TEXTS: Final = Field(_texts)
#: An object of names and whole numbers that are not negative.
COUNTS: Final = Field(_counts)


def checked(verb: str, fields: Mapping[str, Field], request: object) -> Mapping[str, Any]:
    """Return the request with its defaults, or raise ValidationError."""
    if not isinstance(request, dict):
        raise ValidationError(f"{verb}: a request must be an object, not {json_type(request)}")
    if unknown := sorted(set(request) - set(fields)):
        raise ValidationError(
            f"{verb}: unknown field {unknown[0][:_SHOWN]!r}; known are "
            + (", ".join(fields) or "none")
        )
    values = {}
    for name, field in fields.items():
        if name not in request:
            if field.default is ...:
                raise ValidationError(f"{verb}: field {name!r} is missing")
            values[name] = field.default
        elif wrong := field.check(request[name]):
            raise ValidationError(f"{verb}: field {name!r} {wrong}")
        else:
            values[name] = request[name]
    return values


def json_type(value: object) -> str:
    """Name the JSON type of a decoded value, with its article."""
    if value is None:
        return "null"
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false"}
    return names.get(type(value), "a number")
