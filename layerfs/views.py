"""Views: stack layers on a target, end a view, commit its changes; merge.

``stack`` writes down what it is about to do, records the view (from then on its layers are held),
mounts, and crosses the intent out. If it fails, or its process dies in between, the mount, the
record, the run directory and a target that it made are all undone.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from layerfs.backends import Sink
from layerfs.catalog import MountRow
from layerfs.contents import contents
from layerfs.errors import (
    InvalidMountPointError,
    LayerFSError,
    ReadOnlyFilesystemError,
    ValidationError,
    from_os_error,
)
from layerfs.holding import diff_ids_of, held
from layerfs.mountinfo import boot_id, is_mountpoint, namespace_id
from layerfs.opening import Parts
from layerfs.records import Layer, Mount
from layerfs.staging import Operation
from layerfs.viewstate import (
    drop_stale,
    forget,
    forget_ended,
    is_live,
    is_mounted,
    remove_target,
    run_of,
)

Target = str | os.PathLike[str]
Progress = Callable[[int, int | None], None]


# --- targets ------------------------------------------------------------------------------------


def place(target: Target) -> str:
    """Return the absolute path of a target: symlinks resolved, except that of its last component.

    InvalidMountPointError: empty, with a NUL, or relative where the working directory is gone.
    """
    text = os.fspath(target)
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidMountPointError(f"{text!r} is no path of a directory")
    if not text.startswith("/"):
        try:
            text = os.path.join(os.getcwd(), text)
        except OSError as error:
            raise InvalidMountPointError(
                f"{text!r} is relative, and the working directory is gone", path=text
            ) from error
    parent, name = os.path.split(text.rstrip("/") or "/")
    if name in {"", ".", ".."}:
        return os.path.realpath(os.path.join(parent, name))
    return os.path.join(os.path.realpath(parent), name)


def _check_target(parts: Parts, where: str) -> bool:
    """Return whether the target must be made; InvalidMountPointError if it cannot be one."""

    def refusal(why: str) -> InvalidMountPointError:
        return InvalidMountPointError(f"cannot mount on {where!r}: {why}", path=where)

    if os.path.commonpath([where, parts.root]) == os.fspath(parts.root):
        raise refusal(f"it is in the store {str(parts.root)!r}")
    try:
        if is_mountpoint(where):
            raise refusal("something is mounted there already")
        if os.path.islink(where):
            raise refusal(f"it is a symlink, to {os.readlink(where)!r}; give the directory itself")
        with os.scandir(where) as entries:
            if next(entries, None) is not None:
                raise refusal("the directory is not empty")
    except FileNotFoundError:
        if not os.path.isdir(os.path.dirname(where)):
            raise refusal(f"there is no directory {os.path.dirname(where)!r}") from None
        return True
    except NotADirectoryError:
        raise refusal("it is not a directory") from None
    except OSError as error:
        if error.errno in {errno.ENAMETOOLONG, errno.ELOOP}:
            raise refusal(os.strerror(error.errno)) from error
        raise from_os_error(error, "looking at target", where) from error
    return False


# --- stack --------------------------------------------------------------------------------------


def stack(parts: Parts, digests: Sequence[str], target: Target, *, writable: bool) -> Mount:
    """Mount the layers, base first, at ``target``; see ``LayerFS.stack``."""
    parts.refuse_readonly()
    where = place(target)
    with parts.staging.operation() as operation:
        try:
            diff_ids = _record(parts, operation, digests, where, writable=writable)
            parts.backend.view(
                diff_ids,
                Path(where),
                parts.run / operation.id,
                writable=writable,
                contents=contents(parts),
            )
            operation.settle()
        except BaseException:
            undo_stack(parts, operation)
            raise
    return Mount(where, tuple(digests), writable)


def _record(
    parts: Parts, operation: Operation, digests: Sequence[str], where: str, *, writable: bool
) -> list[str]:
    """Hold the layers and make the target; return the diffIDs."""
    with parts.lock():
        diff_ids = diff_ids_of(parts, digests)
        row = MountRow(
            operation.id, where, tuple(digests), writable, False, boot_id(), namespace_id()
        )
        others = parts.meta.mounts(target=row.target)
        stale = drop_stale(parts, others)
        if any(other.namespace == row.namespace for other in others if other not in stale):
            raise InvalidMountPointError(
                f"cannot mount on {row.target!r}: a view is being mounted there already",
                path=row.target,
            )
        create = _check_target(parts, row.target)
        operation.intend("stack", id=row.id, target=row.target, created_target=create)
        if create:
            try:
                os.mkdir(row.target, 0o755)
            except OSError as error:
                # Not ours to remove, whoever made it.
                operation.intend("stack", id=row.id, target=row.target, created_target=False)
                raise from_os_error(error, "creating target", row.target) from error
        # A reboot ends the view, and so need not find it recorded.
        with parts.meta.transaction(durable=False):
            parts.meta.put_mount(row._replace(created_target=create))
    return diff_ids


def undo_stack(parts: Parts, operation: Operation) -> None:
    """Undo a stack that did not come to its end, in this process or in a dead one."""
    intent = operation.intent()
    if intent is None:
        return
    target, identity = str(intent["target"]), str(intent["id"])
    with parts.lock():
        parts.backend.end_view(Path(target), parts.run / identity)
        if parts.meta.mount(identity) is not None:
            with parts.meta.transaction(durable=False):
                parts.meta.delete_mount(identity)
        if intent["created_target"]:
            remove_target(target)


# --- unmount ------------------------------------------------------------------------------------


def unmount(parts: Parts, target: Target) -> str:
    """End the view at ``target``; return its absolute path. See ``LayerFS.unmount``."""
    parts.refuse_readonly()
    where = place(target)
    rows = parts.meta.mounts(target=where)
    if not rows:
        raise InvalidMountPointError(
            f"{where!r} is no view of the store {str(parts.root)!r}", path=where
        )
    # One target can be a view in each of several mount namespaces; ours comes first.
    if len(rows) > 1:
        mine = namespace_id()
        rows.sort(key=lambda row: (not is_mounted(parts, row), row.namespace != mine))
    if parts.staging.alive(rows[0].id):
        raise InvalidMountPointError(
            f"the view at {where!r} is just being mounted; retry when that is done", path=where
        )
    with parts.staging.operation() as operation:
        _end(parts, operation, rows[0])
        with parts.lock():
            drop_stale(parts, rows[1:])
    return where


def _end(parts: Parts, operation: Operation, row: MountRow) -> None:
    with _used(parts, row, fcntl.LOCK_EX):
        operation.intend("unmount", id=row.id)
        try:
            parts.backend.end_view(Path(row.target), run_of(parts, row))
        except BaseException:
            # Interrupted after the unmount itself: finish.
            if not is_live(parts, row):
                finish_unmount(parts, row.id)
            raise
        with parts.lock():
            if parts.meta.mount(row.id) is not None:
                forget_ended(parts, row)


def finish_unmount(parts: Parts, identity: str) -> None:
    """Forget a view that is not mounted any more; one that is stays as it is."""
    with parts.lock():
        row = parts.meta.mount(identity)
        if row is not None and not is_live(parts, row):
            forget(parts, row)


@contextmanager
def _used(parts: Parts, row: MountRow, how: int) -> Iterator[None]:
    """Lock the view's run directory: commits share it, an unmount waits for them."""
    try:
        fd = os.open(run_of(parts, row), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    except OSError as error:
        raise from_os_error(error, "locking view", str(run_of(parts, row))) from error
    try:
        fcntl.flock(fd, how)
        yield
    finally:
        os.close(fd)


def unmount_all(
    parts: Parts, targets: Sequence[str], done: Callable[[str], object] = lambda _: None
) -> None:
    """End several views, nested ones first; raise the first error after all have been tried."""
    failed: LayerFSError | None = None
    for target in sorted(targets, key=lambda one: one.count("/"), reverse=True):
        try:
            unmount(parts, target)
            done(target)
        except InvalidMountPointError:
            done(target)  # ended by somebody else
        except LayerFSError as error:
            failed = failed or error
    if failed is not None:
        raise failed


def mounts(parts: Parts) -> list[Mount]:
    """Return the views that are alive, in whatever mount namespace."""
    rows = [row for row in parts.meta.mounts() if is_live(parts, row)]
    rows.sort(key=lambda row: row.target)
    return [Mount(row.target, row.digests, row.writable) for row in rows]


# --- new layers from views and layers -----------------------------------------------------------


def commit(parts: Parts, target: Target, progress: Progress | None = None) -> Layer:
    """Make a layer of the changes in the writable view at ``target``; see ``LayerFS.commit``."""
    parts.refuse_readonly()
    where = place(target)
    row = next((row for row in parts.meta.mounts(target=where) if is_mounted(parts, row)), None)
    if row is None:
        raise InvalidMountPointError(
            f"{where!r} is no mounted view of the store {str(parts.root)!r}", path=where
        )
    if not row.writable:
        raise ReadOnlyFilesystemError(
            f"the view at {where!r} is read-only, and has no changes; stack it writable",
            path=where,
        )
    with _used(parts, row, fcntl.LOCK_SH):
        if parts.meta.mount(row.id) is None:
            raise InvalidMountPointError(f"the view at {where!r} was just unmounted", path=where)
        run, epoch = run_of(parts, row), _source_date_epoch()

        def write(sink: Sink, _staging: Path) -> None:
            parts.backend.changes(run, sink, source_date_epoch=epoch)

        from layerfs import making  # noqa: PLC0415 - a process that makes no layer needs it not

        return making.make(parts, write, progress)


def _source_date_epoch() -> int | None:
    """Return the latest time that a new layer may hold, in seconds, or None.

    https://reproducible-builds.org/specs/source-date-epoch/: malformed values must be refused.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise ValidationError(f"SOURCE_DATE_EPOCH must be a number of seconds, not {text!r}")
    return int(text)


def merge(parts: Parts, digests: Sequence[str], progress: Progress | None = None) -> Layer:
    """Make one layer of several, base first; see ``LayerFS.merge``."""
    parts.refuse_readonly()
    from layerfs import making  # noqa: PLC0415 - see above

    with held(parts, digests) as layers:
        diff_ids = [layer.diff_id for layer in layers]

        def write(sink: Sink, staging: Path) -> None:
            parts.backend.merge(diff_ids, sink, staging, contents(parts))

        return making.make(parts, write, progress)
