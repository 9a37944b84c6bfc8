"""Undo or finish one dead operation, as its intent says. Every step can be repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from layerfs.opening import Parts
from layerfs.removing import discard_unused, write_index
from layerfs.staging import Operation
from layerfs.views import finish_unmount, undo_stack

_Intent = Mapping[str, Any]


def end(parts: Parts, operation: Operation) -> None:
    """Undo or finish, and delete the operation; what it raises leaves it to another try."""
    try:
        intent = operation.intent()
        if intent is not None and (undo := _UNDO.get(str(intent.get("kind")))) is not None:
            undo(parts, operation, intent)
        parts.backend.recover(operation.path)
    except BaseException:
        operation.leave_to_recovery()
        raise
    finally:
        operation.end()


def _add(parts: Parts, operation: Operation, intent: _Intent) -> None:
    """Remove what was published without being recorded."""
    with parts.lock():
        discard_unused(parts, operation, intent["digest"], intent["diff_id"])


def _remove(parts: Parts, operation: Operation, intent: _Intent) -> None:
    """Finish the removal of what was forgotten; what is still recorded was not to be removed."""
    with parts.lock():
        for digest, diff_id in intent["layers"]:
            discard_unused(parts, operation, digest, diff_id)


def _image(parts: Parts, operation: Operation, intent: _Intent) -> None:
    """Make index.json say what the database says, and drop blobs of an image that is not there."""
    with parts.lock():
        write_index(parts)
        for digest in (intent["manifest"], intent["config"]):
            discard_unused(parts, operation, digest, None)


def _stack(parts: Parts, operation: Operation, _: _Intent) -> None:
    undo_stack(parts, operation)


def _unmount(parts: Parts, _: Operation, intent: _Intent) -> None:
    finish_unmount(parts, intent["id"])


def _replace(parts: Parts, operation: Operation, intent: _Intent) -> None:
    """Put the good tree in place, if the damaged one had been taken away already."""
    with parts.lock():
        if operation.tree.exists() and parts.meta.layers_of(intent["diff_id"]):
            parts.backend.publish(operation.tree, intent["diff_id"])


_UNDO: Final[Mapping[str, Callable[[Parts, Operation, _Intent], None]]] = {
    "add": _add,
    "remove": _remove,
    "image": _image,
    "stack": _stack,
    "unmount": _unmount,
    "replace": _replace,
}
