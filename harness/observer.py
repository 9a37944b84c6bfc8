"""Runs on the host and tells what is there: JSON lines on standard input and output.

``{"id": 1, "op": "tree", "args": {"path": "/x"}}`` is answered with ``{"id": 1, "result": …}``, or
with ``{"id": 1, "errno": [number, text, path]}`` when the operating system refused. It ends at the
end of its input. Standard library only and fit for Python 3.9; :mod:`harness.observe` packs it,
with the modules that it imports, and starts it with ``-I -X utf8``.

It never runs the subject, and changes only what it is told to by name.
"""

from __future__ import annotations

import base64
import json
import os
import resource
import sys
from collections.abc import Callable, Sequence
from typing import Any

from harness import census, kernel, poolprobes, pools, probes, treewalk, zfscensus, zfstool

#: What a case may do to a path on the host, with the arguments of the function in ``os``.
_CALLS = frozenset({
    "access", "chmod", "chown", "getxattr", "link", "listxattr", "mkdir", "mkfifo", "mknod",
    "readlink", "removexattr", "rename", "rmdir", "setxattr", "symlink", "truncate", "unlink",
    "utime",
})  # fmt: skip
#: The property of a pool that has what it can do.
_FACTS = "layerfs-conformance:facts"


class Observer:
    """The operations. Paths are absolute; bytes travel as ``{"base64": text}``."""

    def __init__(self) -> None:
        self._messages = census.Messages()

    def ping(self) -> int:
        """Return our pid."""
        return os.getpid()

    def facts(self, workdir: str, *, direct: bool = False) -> dict[str, Any]:
        """Return what this host can do; see :func:`harness.probes.facts`.

        Only where commands run on the host itself (``direct``) may there be pools of ours.
        """
        refusal = pools.refusal() if direct else "pools are made only as root on a host itself"
        return {
            **probes.facts(workdir),
            "kernel_log": self._messages.allowed,
            "zfs": not refusal,
            "zfs_refusal": refusal,
            "zfs_version": "" if refusal else pools.version(),
        }

    def tree(self, path: str, *, times: bool = False) -> list[dict[str, Any]]:
        """Return a whole tree; see :func:`harness.treewalk.tree`."""
        return treewalk.tree(path, times=times)

    def node(self, path: str) -> list[dict[str, Any]]:
        """Return the first row of the tree."""
        return treewalk.tree(path, below=False)

    def ledger(
        self,
        roots: Sequence[str],
        ignore: Sequence[int],
        descriptors_of: Sequence[int],
        *,
        own_descendants_only: bool,
        zfs: bool = False,
    ) -> dict[str, Any]:
        """Return everything that a case might leave behind; see :mod:`harness.census`.

        Without a pid namespace of the target's own, all its processes descend from our parent.
        ``zfs``: also what is in pools (:mod:`harness.zfscensus`).
        """
        within = os.getppid() if own_descendants_only else None
        kinds, inodes = census.files(roots)
        return {
            "mounts": census.mounts(within),
            "processes": census.processes(frozenset(ignore), within),
            "devices": census.devices(),
            "files": kinds,
            "locks": census.locks(roots, inodes),
            "descriptors": {str(pid): census.descriptors(pid) for pid in descriptors_of},
            "taint": census.taint(),
            "messages": self._messages.warnings(),
            "zfs": zfscensus.count() if zfs else None,
        }

    def mounts(self) -> list[dict[str, Any]]:
        """Return the mounts of our own namespace."""
        return census.mountinfo()

    def exists(self, path: str) -> bool:
        """Whether there is anything, be it a dangling symlink."""
        return os.path.lexists(path)

    def write(
        self, path: str, data: dict[str, str], offset: int | None = None, mode: int = 0o644
    ) -> None:
        """Write a file; with ``offset`` into what is there, else it is made or emptied first."""
        flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if offset is None else 0)
        descriptor = os.open(path, flags | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            file.seek(offset or 0)
            left = memoryview(base64.b64decode(data["base64"]))
            while left:
                left = left[file.write(left) :]

    def read(self, path: str, offset: int, size: int) -> dict[str, str]:
        """Return up to ``size`` bytes of a file from ``offset``, leaving its access time alone."""
        with os.fdopen(treewalk.open_quietly(path, 0), "rb") as file:
            file.seek(offset)
            return {"base64": base64.b64encode(file.read(size)).decode("ascii")}

    def listdir(self, path: str) -> list[str]:
        """Return the names in a directory, sorted, leaving its access time alone."""
        descriptor = treewalk.open_quietly(path, os.O_DIRECTORY)
        try:
            return sorted(os.listdir(descriptor))
        finally:
            os.close(descriptor)

    def makedirs(self, path: str, mode: int) -> None:
        """Make a directory and its missing parents; it may be there already."""
        os.makedirs(path, mode=mode, exist_ok=True)

    def remove(self, path: str) -> None:
        """Remove all of it; see :func:`harness.treewalk.remove`."""
        treewalk.remove(path)

    def call(self, name: str, args: Sequence[Any], options: dict[str, Any]) -> Any:
        """Call one of the functions of ``os`` that cases may use on paths."""
        if name not in _CALLS:
            raise ValueError(f"{name} is not one of {', '.join(sorted(_CALLS))}")
        named = {key: _as_given(value) for key, value in options.items()}
        found = getattr(os, name)(*map(_as_given, args), **named)
        is_bytes = isinstance(found, bytes)
        return {"base64": base64.b64encode(found).decode("ascii")} if is_bytes else found

    def disk(self, path: str) -> dict[str, int]:
        """Return the file system's room, in bytes and inodes (statvfs(3))."""
        found = os.statvfs(path)
        return {
            "size": found.f_blocks * found.f_frsize,
            "free": found.f_bavail * found.f_frsize,
            "inodes": found.f_files,
            "inodes_free": found.f_favail,
        }

    def usage(self, path: str) -> int:
        """Return the bytes allocated on disk at and below a path, each inode counted once."""
        seen: dict[tuple[int, int], int] = {}

        def count(status: os.stat_result) -> None:
            seen[status.st_dev, status.st_ino] = status.st_blocks * 512

        count(os.lstat(path))
        for _, entry, descriptor in treewalk.walk(path, lambda *_: True):
            count(os.stat(entry.name, dir_fd=descriptor, follow_symlinks=False))
        return sum(seen.values())

    def mount_tmpfs(self, path: str, options: str) -> None:
        """Mount a new tmpfs on a directory."""
        kernel.mount("tmpfs", path, "tmpfs", 0, options)

    def umount(self, path: str) -> None:
        """Unmount what is mounted last on a path, never lazily."""
        kernel.umount(path)

    def pool(self, workdir: str, *, standing: bool) -> dict[str, Any]:
        """Return the facts of the pool of this machine, else of one that is made for the target.

        With ``standing`` it is made for the machine. The facts are found when it is made, and kept
        in a property of it.
        """
        directory = os.path.dirname(workdir)
        pools.reimport(pools.SERIALS[0])
        for name in pools.find(pools.STANDING):
            told = zfstool.run("zfs", "get", "-H", "-o", "value", _FACTS, name)
            found: dict[str, Any] = json.loads(told)
            return found
        mark = pools.STANDING if standing else directory
        made = pools.make(directory, mark, serial=pools.SERIALS[0])
        try:
            found = {
                "zfs_pool": made["name"], "zfs_vdev": made["kind"], "zfs_vdevs": made["vdevs"],
                **poolprobes.facts(made["name"], workdir),
            }  # fmt: skip
            zfstool.run("zfs", "set", f"{_FACTS}={json.dumps(found)}", made["name"])
        except OSError:
            pools.destroy(made["name"], directory)
            raise
        return found

    def extra_pool(self, workdir: str, files: int, size: int) -> dict[str, Any]:
        """Make a further pool of the target's; with no ``files``, on the second disk if it can."""
        directory = os.path.dirname(workdir)
        return pools.make(
            directory, directory, files=files or 1, size=size,
            serial="" if files else pools.SERIALS[1],
        )  # fmt: skip

    def drop_pool(self, workdir: str, name: str) -> None:
        """Destroy a pool that :meth:`extra_pool` has made, whatever became of it."""
        pools.destroy(name, os.path.dirname(workdir))

    def spare_vdev(self, workdir: str, name: str, size: int) -> str:
        """Make a sparse file beside the target's other vdevs, and return its path."""
        return pools.sparse_file(os.path.dirname(workdir), name, size)


def _as_given(value: Any) -> Any:
    """Return what JSON cannot carry as it is: bytes, and tuples."""
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    return tuple(value) if isinstance(value, list) else value


def answer(observer: Observer, line: bytes) -> dict[str, Any]:
    """Do what one line asks and return the answer."""
    request = json.loads(line)
    try:
        operation: Callable[..., Any] = getattr(observer, request["op"])
        return {"id": request["id"], "result": operation(**request["args"])}
    except OSError as error:
        path = error.filename if isinstance(error.filename, str) else None
        return {"id": request["id"], "errno": [error.errno, error.strerror, path]}
    except (TypeError, ValueError, AttributeError) as error:  # a mistake of the caller's
        return {"id": request["id"], "error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Serve until the input ends."""
    # One descriptor is open for each level of a tree.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.umask(0o022)
    observer = Observer()
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(json.dumps(answer(observer, line)).encode("ascii") + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
