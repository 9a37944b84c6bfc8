"""Looks at a host, and arranges what a case needs there; never asks the subject anything.

One long-lived observer process (:mod:`harness.observer`) answers over the remote, so that a whole
tree or ledger costs one exchange. What the host's operating system refuses is an OSError with its
errno, as if it had happened here; what goes wrong between here and there is a HarnessError.
"""

from __future__ import annotations

import base64
import itertools
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from harness import canary
from harness.canary import Canary
from harness.errors import ObserverError, RemoteError, RemoteTimeoutError
from harness.ledger import Ledger, Mount
from harness.packing import packed
from harness.remote import Channel, Completed, Remote
from harness.tree import Node, Tree

if TYPE_CHECKING:
    from testinfra.host import Host as InfraHost

    from harness.zfs import Zfs

#: Seconds for one answer of the observer.
TIMEOUT: Final = 60.0
#: The same for a ledger, where a pool may have thousands of datasets, and no processor of its own.
LEDGER_TIMEOUT: Final = 330.0
#: The observer and what it imports, and what the file of them does.
_MODULES: Final = (
    "observer", "census", "treewalk", "probes", "kernel", "pools", "poolprobes", "zfscensus",
    "zfstool",
)  # fmt: skip
_MAIN: Final = "from harness.observer import main\nmain()\n"
_CHUNK: Final = 4 * 1024 * 1024
#: Seconds for making a pool and trying all that it can do.
_POOL_TIMEOUT: Final = 180.0

How = Literal["cwd", "fd", "namespace"]
#: A shell holds on, says so, and waits for the end of its input.
_HOLD: Final[Mapping[How, list[str]]] = {
    "cwd": ["sh", "-c", 'cd "$0" && echo held && exec cat'],
    "fd": ["sh", "-c", 'exec 3<"$0" && echo held && exec cat'],
    "namespace": ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                  'test -e "$0" && echo held && exec cat'],
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """A process ``pid`` of the host that keeps ``path`` busy."""

    path: str
    how: How
    pid: int


class Host:
    """One host, seen through ``remote``, which the caller closes. May be used by several threads.

    The observer is started when it is first needed, and again after it had to be ended because of
    a time-out. All paths are absolute and of the host.
    """

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.workdir = remote.workdir
        self._channel: Channel | None = None
        self._turn = threading.Lock()
        self._ids = itertools.count(1)
        self._names = itertools.count(1)
        self._pool_facts: dict[str, Any] = {}

    # --- looking ----------------------------------------------------------------------------------

    @property
    def facts(self) -> Mapping[str, Any]:
        """What this host is and can do: :func:`harness.probes.facts` and the remote's own facts.

        ``python`` is the interpreter's path. ``zfs`` says whether a pool can be made here; once
        there is one (:meth:`make_pool`), its name is ``zfs_pool``, and
        :func:`harness.poolprobes.facts` are among these. In JSON types; found by trying, once.
        """
        return {**self._lasting_facts, **self._pool_facts}

    @cached_property
    def _lasting_facts(self) -> Mapping[str, Any]:
        found = self._ask("facts", workdir=self.workdir, direct=self._direct)
        return {**self.remote.facts, **found, "python": self.remote.python}

    @property
    def _direct(self) -> bool:
        """Whether commands run on the host itself, and not in namespaces."""
        return bool(self.remote.facts.get("direct"))

    def tree(self, path: str, *, timeout: float = TIMEOUT) -> Tree:
        """Return the whole tree at ``path``, which may be any kind of file (then only ``"."``).

        Exact: metadata, xattrs, content hashes, and hardlinks by device and inode number. On a
        merged overlay the kernel may give files of different layers different device numbers
        (overlayfs.rst, "Inode properties"); the names of one inode always share theirs.
        """
        return _tree(self._ask("tree", timeout=timeout, path=path))

    def node(self, path: str) -> Node:
        """Return one path without following it, and without what lies below it."""
        return _tree(self._ask("node", path=path))["."]

    def ledger(
        self, *roots: str, descriptors_of: Sequence[int] = (), timeout: float = LEDGER_TIMEOUT
    ) -> Ledger:
        """Return everything that exists, with the files below ``roots`` (else of the workdir).

        The harness's own processes are no part of it; ``descriptors_of`` names processes whose
        descriptors are wanted. Raises ObserverError also when the host refuses.
        """
        own_namespace = self.remote.facts.get("pid_namespace", True)
        try:
            told = self._ask(
                "ledger",
                timeout=timeout,
                roots=roots or (self.workdir,),
                ignore=sorted(self.remote.pids()),
                own_descendants_only=not own_namespace,
                descriptors_of=descriptors_of,
                zfs=self._direct,
            )
        except OSError as error:  # a pool that hangs, mostly
            raise ObserverError(f"the ledger cannot be taken: {error.strerror}") from None
        return Ledger.parse(told)

    def mounts(self) -> list[Mount]:
        """Return the mounts of the host's own namespace, in the kernel's order."""
        return [Mount.parse(row) for row in self._ask("mounts")]

    def exists(self, path: str) -> bool:
        """Whether there is anything at the path, be it a dangling symlink."""
        return bool(self._ask("exists", path=path))

    def listdir(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        found: list[str] = self._ask("listdir", path=path)
        return found

    def read(self, path: str) -> bytes:
        """Return the content of a file, of any size."""
        parts: list[bytes] = []
        while not parts or len(parts[-1]) == _CHUNK:
            told = self._ask("read", path=path, offset=len(parts) * _CHUNK, size=_CHUNK)
            parts.append(_bytes(told))
        return b"".join(parts)

    def disk(self, path: str) -> Mapping[str, int]:
        """Return size, free (bytes), inodes and inodes_free of the file system at ``path``."""
        found: dict[str, int] = self._ask("disk", path=path)
        return found

    def usage(self, path: str) -> int:
        """Return the bytes allocated on disk at and below ``path``, each inode counted once."""
        return int(self._ask("usage", path=path))

    @cached_property
    def infra(self) -> InfraHost:
        """The host as testinfra sees it: ``host.infra.file(path).exists`` and the like."""
        from harness import infra  # noqa: PLC0415 - testinfra is slow to import, and seldom needed

        return infra.connect(self.remote)

    @cached_property
    def zfs(self) -> Zfs:
        """The pools of this host: ``host.zfs.datasets(root)``, and the like."""
        from harness.zfs import Zfs  # noqa: PLC0415 - seldom needed

        return Zfs(self, self._ask)

    # --- arranging ------------------------------------------------------------------------------

    def tmp(self, name: str) -> str:
        """Make a fresh directory for one case and return it; whoever asked removes it."""
        path = f"{self.workdir}/{name}-{next(self._names)}"
        self.call("mkdir", path)
        return path

    def mkdir(self, path: str, mode: int = 0o755) -> str:
        """Make a directory and its missing parents; it may be there already. Returns the path."""
        self._ask("makedirs", path=path, mode=mode)
        return path

    def write(self, path: str, data: bytes, *, offset: int | None = None) -> str:
        """Write a file; with ``offset`` into what is there. Returns the path."""
        view = memoryview(data)
        at = offset
        while True:
            self._ask("write", path=path, data=_json_bytes(view[:_CHUNK]), offset=at)
            view, at = view[_CHUNK:], (at or 0) + _CHUNK
            if not view:
                return path

    def put(self, data: bytes, path: str) -> str:
        """Write a file; the same as :meth:`write`, in the order of :meth:`Remote.put`."""
        return self.write(path, data)

    def remove(self, path: str) -> None:
        """Remove a path and all below it, never entering a mount (OSError, EBUSY); may be gone."""
        self._ask("remove", path=path)

    def call(self, name: str, *args: Any, **options: Any) -> Any:
        """Call a function of ``os`` on the host: ``host.call("chmod", path, 0o644)``.

        One of: access chmod chown getxattr link listxattr mkdir mkfifo mknod readlink removexattr
        rename rmdir setxattr symlink truncate unlink utime.
        """
        given = [_json_bytes(value) if isinstance(value, bytes) else value for value in args]
        found = self._ask("call", name=name, args=given, options=options)
        return _bytes(found) if isinstance(found, dict) else found

    def run(self, argv: Sequence[str], *, timeout: float = TIMEOUT, **options: Any) -> Completed:
        """Run a command to its end; see :meth:`Remote.run`."""
        return self.remote.run(argv, timeout=timeout, **options)

    @contextmanager
    def mount_tmpfs(self, path: str, size: str = "", inodes: int = 0) -> Iterator[str]:
        """Mount a tmpfs on ``path`` (made when missing), at most ``size`` (``"1m"``), and end it.

        Raises OSError with EBUSY at the end when something still uses it.
        """
        limits = {"size": size, "nr_inodes": inodes}
        options = ["mode=0755", *(f"{name}={value}" for name, value in limits.items() if value)]
        existed = self.exists(path)
        self.mkdir(path)
        self._ask("mount_tmpfs", path=path, options=",".join(options))
        try:
            yield path
        finally:
            self._ask("umount", path=path)
            if not existed:
                self.call("rmdir", path)

    @contextmanager
    def hold(self, path: str, how: How = "cwd") -> Iterator[Held]:
        """Keep ``path`` busy by a process of the host for as long as the context lasts.

        ``cwd``: it stands in that directory. ``fd``: it has the file or directory open.
        ``namespace``: it lives in a mount namespace of its own, which has a copy of every mount.
        """
        with self.remote.start([*_HOLD[how], path], cwd="/") as channel:
            try:
                line = channel.read_line(TIMEOUT)
            except EOFError:
                line = b""
            if line != b"held":
                done = channel.finish(timeout=TIMEOUT)
                raise OSError(None, f"cannot hold {path} by {how}: {done.stderr.decode().strip()}")
            yield Held(path, how, channel.pid)

    @contextmanager
    def canary(self, path: str | None = None) -> Iterator[Canary]:
        """Make files outside of every store, and fail the case (AssertionError) if touched.

        They are in a directory of their own, at ``path`` where that matters (it must be missing).

        Content, type, mode, owner, times of access, modification and change, xattrs, links and
        existence are compared, also when the block raises. The canary is then removed.
        """
        outside = Canary(self.mkdir(path) if path else self.tmp("canary"))
        try:
            self.mkdir(outside.directory)
            self.write(outside.file, canary.CONTENT)
            self.write(outside.below, canary.CONTENT)
            for name, args, options in outside.calls():
                self.call(name, *args, **options)
            before = self._ask("tree", path=outside.path, times=True)
            try:
                yield outside
            finally:
                after = self._ask("tree", path=outside.path, times=True)
                lines = canary.touched(before, after)
                if lines:
                    raise AssertionError("\n".join(["outside of the store was touched:", *lines]))
        finally:
            self.remove(outside.path)

    def make_pool(self, *, standing: bool = False) -> None:
        """Make a pool for this target, where one can be made; nothing when there is one.

        It goes with the target. With ``standing`` it stays, and every later target on this machine
        finds it: for machines that are saved, and thrown away as a whole. Raises OSError.
        """
        if not self._pool_facts and self.facts["zfs"]:
            self._pool_facts = self._ask(
                "pool", timeout=_POOL_TIMEOUT, workdir=self.workdir, standing=standing
            )

    # --- the observer ---------------------------------------------------------------------------

    def _ask(self, operation: str, *, timeout: float = TIMEOUT, **args: Any) -> Any:
        """Put one request to the observer. Raises OSError, ObserverError, RemoteTimeoutError."""
        number = next(self._ids)
        line = json.dumps({"id": number, "op": operation, "args": args}).encode("ascii")
        with self._turn:
            try:
                if self._channel is None:
                    self._channel = self._start()
                self._channel.send_line(line, timeout)
                answer = json.loads(self._channel.read_line(timeout))
            except RemoteTimeoutError:
                self._end()
                raise RemoteTimeoutError(
                    f"the observer did not answer {operation!r} in {timeout:g} s"
                ) from None
            except (EOFError, BrokenPipeError, ValueError):
                said = b"" if self._channel is None else self._channel.take_stderr()
                self._end()
                last = said.decode("utf-8", "replace").strip().splitlines()[-1:]
                raise ObserverError(f"the observer died at {operation!r}: {last}") from None
            except BaseException:  # Ctrl-C, or a time-out's signal: the answer would come too late
                self._end()
                raise
        if answer["id"] != number:
            self._end()
            raise ObserverError(f"the observer answered {answer['id']} to {number} ({operation})")
        if "errno" in answer:
            code, text, path = answer["errno"]
            raise OSError(code, text, path)
        if "error" in answer:
            raise ObserverError(f"{operation}: {answer['error']}")
        return answer["result"]

    def _start(self) -> Channel:
        path = f"{self.workdir}/observer.pyz"
        self.remote.put(packed(_MODULES, _MAIN), path)
        try:
            channel = self.remote.start([self.remote.python, "-I", "-X", "utf8", path], cwd="/")
        except OSError as error:
            raise RemoteError(f"cannot start {self.remote.python}: {error.strerror}") from None
        channel.send_line(json.dumps({"id": 0, "op": "remove", "args": {"path": path}}).encode())
        channel.read_line(TIMEOUT)
        return channel

    def _end(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close(0.0)


def _tree(rows: Sequence[Mapping[str, Any]]) -> Tree:
    names: dict[tuple[int, int], list[str]] = {}
    for row in rows:
        if "inode" in row:
            names.setdefault(tuple(row["inode"]), []).append(row["path"])
    nodes = {}
    for row in rows:
        shared = names.get(tuple(row.get("inode", ())), [])
        nodes[row["path"]] = Node(
            kind=row["kind"],
            mode=row["mode"],
            uid=row["uid"],
            gid=row["gid"],
            mtime_ns=row["mtime_ns"],
            size=row.get("size", 0),
            sha256=row.get("sha256", ""),
            target=row.get("target", ""),
            rdev=tuple(row.get("rdev", (0, 0))),
            xattrs=tuple((name, base64.b64decode(value)) for name, value in row.get("xattrs", ())),
            links=tuple(sorted(shared)) if len(shared) > 1 else (),
        )
    return Tree(nodes)


def _json_bytes(data: bytes | memoryview) -> dict[str, str]:
    return {"base64": base64.b64encode(data).decode("ascii")}


def _bytes(told: Mapping[str, str]) -> bytes:
    return base64.b64decode(told["base64"])
