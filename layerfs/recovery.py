"""Undo or finish what dead operations left, when a store is opened. Every step can be repeated.

An operation whose lock can be taken is dead (``staging``). Its intent says what it was about to
change outside of its own directory; whether it came to its commit, the database knows. What one
dead operation makes impossible (a busy mount, a disk's error) does not keep the store from being
opened: its directory stays, ``check`` names it, and the next ``open`` tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from layerfs import reserve
from layerfs.errors import LayerFSError
from layerfs.mountinfo import boot_id
from layerfs.opening import Parts, open_parts
from layerfs.removing import discard_unused, write_index
from layerfs.staging import Operation
from layerfs.views import finish_unmount, undo_stack
from layerfs.viewstate import drop_stale

_Intent = Mapping[str, Any]


def open_recovered(root: Path, *, readonly: bool, recover: bool) -> Parts:
    """Open a store, and (not ``readonly``) bring it in order. Raises what ``open_parts`` raises."""
    parts = open_parts(root, readonly=readonly, recover=recover)
    try:
        if not readonly:
            settle(parts)
            reserve.keep(parts.root)
    except BaseException:
        parts.close()
        raise
    return parts


def settle(parts: Parts) -> list[str]:
    """Undo or finish all dead operations; forget views of earlier boots.

    Returns what could not be done, as sentences.
    """
    failed = []
    for operation in parts.staging.dead():
        try:
            _end(parts, operation)
        except LayerFSError as error:
            failed.append(f"operation {operation.id}: {error.message}")
    _drop_rows(parts)
    return failed


def _drop_rows(parts: Parts) -> None:
    """Drop rows whose owner cannot come back: views of earlier boots, leases of dead operations."""
    views = parts.meta.mounts_of_other_boots(boot_id())
    leases = [
        name
        for name, operation in parts.meta.roots.operation_leases()
        if not parts.staging.alive(operation)
    ]
    if not views and not leases:
        return
    with parts.lock():
        drop_stale(parts, views)
        with parts.meta.transaction():
            for name in leases:
                parts.meta.roots.delete_lease(name)


def _end(parts: Parts, operation: Operation) -> None:
    try:
        intent = operation.intent()
        if intent is not None and (undo := _UNDO.get(str(intent.get("kind")))) is not None:
            undo(parts, operation, intent)
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
