"""Helper processes that write the small files of a large layer, while this one reads the tar.

A layer of many small files costs more in system calls than in anything else, and one process can
make only one at a time: Python's lock would let threads do little more. So ``apply``, once a layer
has shown to be large, starts one or two helpers (``writer``), and hands to them what needs no
decision any more: new files, symlinks and hardlinks, each with its directory. What may depend on
them waits for ``drain``. A directory belongs to one helper, which makes its entries in order.

Content travels through shared memory, in segments that a helper gives back when it is done with
them, requests and answers through pipes (``writer`` has their form). So at most
``_SEGMENTS * _SEGMENT`` bytes for each helper are ever under way, however large the layer is.

Helpers are killed when this process dies, and end when ``close`` is called. They have no part in
what is decided: they open directories by the same rules, and make what does not exist there yet.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from layerfs import writer
from layerfs.errors import StorageError, retold
from layerfs.layertree import Directory, Node

if TYPE_CHECKING:
    from layerfs.command import Helper
    from layerfs.layerxattrs import Policy
    from layerfs.tarstream import Member, TarReader

#: Bytes of a segment: the longest file that is handed over.
LARGEST: Final = 1 << 20
_SEGMENTS: Final = 4
#: Requests sent together. A pipe holds 64 KiB (pipe(7)), and half of that is on the way at a time.
_TOGETHER: Final = 256
#: At most.
_HELPERS: Final = 2

#: Its place in the archive, the path, and what is to be raised.
_Failure = tuple[int, bytes, Exception]


class _Helper:
    """One process, and what it was told."""

    def __init__(self, root_fd: int, policy: Policy, failures: list[_Failure]) -> None:
        from layerfs import command  # noqa: PLC0415 - only a large layer waits for it

        size = _SEGMENTS * LARGEST
        memory = os.memfd_create("layerfs-content", os.MFD_CLOEXEC)
        inherited = [memory, root_fd]
        opened = [memory]
        try:
            os.ftruncate(memory, size)
            self._shared = mmap.mmap(memory, size)
            orders, self._orders = os.pipe()
            opened += [orders, self._orders]
            self._answers, answers = os.pipe()
            opened += [self._answers, answers]
            inherited += [orders, answers]
            policies = policy.userxattr, policy.squash_ids, policy.drop_privileged_xattrs
            setup = writer.Setup(
                root_fd, memory, LARGEST, _SEGMENTS, orders, answers,
                *map(int, policies),
            )  # fmt: skip
            self._process: Helper = command.start(
                writer.__name__, [str(number) for number in setup], inherited=inherited
            )
        except BaseException:
            for fd in opened:
                os.close(fd)
            raise
        for fd in (memory, orders, answers):
            os.close(fd)
        self._memory = memoryview(self._shared)
        self._free = deque(range(_SEGMENTS))
        self._segment = self._free.popleft()
        self._base = self._segment * LARGEST  # where the segment begins in the memory
        self._used = 0  # bytes of the segment
        self._requests: list[tuple[Any, ...]] = []
        self._told: list[tuple[int, bytes]] = []  # (number, path) of each request
        self._under_way: deque[tuple[int, list[tuple[int, bytes]]]] = deque()
        self._known: dict[Directory, int] = {}
        self.load = 0  # requests so far
        self.left_out: list[tuple[bytes, str]] = []
        self.blocks = 0
        self._failures = failures

    def number(self, directory: Directory) -> int:
        """Return the number under which the helper knows a directory."""
        number = self._known.get(directory)
        if number is None:
            number = self._known[directory] = len(self._known)
            self.tell(-1, b"", (writer.DIRECTORY, number, directory.path()))
        return number

    def tell(self, place: int, path: bytes, request: tuple[Any, ...]) -> None:
        """Add a request; ``place`` is its place among all, ``path`` what it is about."""
        if len(self._requests) >= _TOGETHER:
            self.flush()
        self.load += 1
        self._requests.append(request)
        self._told.append((place, path))

    def tell_file(
        self, place: int, directory: int, name: bytes, member: Member, reader: TarReader
    ) -> None:
        """Add the request for a file, with its content."""
        size = member.size
        if self._used + size > LARGEST or len(self._requests) >= _TOGETHER:
            self.flush()
        at = self._used
        if size:
            reader.read_into(self._memory, self._base + at, size)
            self._used = at + size
        self.load += 1
        self._requests.append((
            writer.FILE, directory, name, at, size, member.mode, member.uid, member.gid,
            member.mtime_ns, member.xattrs or None,
        ))  # fmt: skip
        self._told.append((place, member.name))

    def flush(self) -> None:
        """Send what was told so far."""
        if not self._requests:
            return
        try:
            writer.send(self._orders, (self._segment, self._requests))
        except BrokenPipeError:
            raise self._died() from None
        self._under_way.append((self._segment, self._told))
        self._requests, self._told = [], []
        if not self._free:
            self._answer()
        self._segment = self._free.popleft()
        self._base = self._segment * LARGEST
        self._used = 0

    def wait(self) -> None:
        """Wait until all that was told is done."""
        self.flush()
        while self._under_way:
            self._answer()

    def _answer(self) -> None:
        try:
            failure, left_out, blocks = writer.receive(self._answers)
        except EOFError:
            raise self._died() from None
        segment, told = self._under_way.popleft()
        self._free.append(segment)
        self.blocks += blocks
        self.left_out += [(told[at][1], reason) for at, reason in left_out]
        if failure is not None:
            at, told_error, number, message = failure
            path = told[at][1]
            error: Exception = OSError(number, message)
            if told_error is not None:
                told_error["facts"]["path"] = os.fsdecode(path)
                error = retold(told_error)
            self._failures.append((told[at][0], path, error))

    def _died(self) -> StorageError:
        status = self._process.wait()
        return StorageError(f"a helper process that writes files ended with status {status}")

    def close(self, *, kill: bool) -> None:
        if kill:
            self._process.kill()
        for fd in (self._orders, self._answers):
            os.close(fd)
        self._process.wait()
        self._memory.release()
        self._shared.close()


def _of_use() -> int:
    """Return how many helpers to start: one fewer than processors.

    With two of each, the helpers waited for each other's locks in the file system, and it took a
    tenth longer.
    """
    return max(1, min(_HELPERS, len(os.sched_getaffinity(0)) - 1))


class Writers:
    """The helpers of one extraction, and which directory is whose."""

    def __init__(self, root_fd: int, policy: Policy) -> None:
        """Start them. OSError when there can be none, and then there is none."""
        #: What failed so far; ``drain`` tells which was first.
        self.failures: list[_Failure] = []
        self._helpers: list[_Helper] = []
        try:
            for _ in range(_of_use()):
                self._helpers.append(_Helper(root_fd, policy, self.failures))
        except BaseException:
            self.close(kill=True)
            raise
        self._owners: dict[Directory, _Helper] = {}
        self._linked: dict[Node, _Helper] = {}
        self._told = 0
        self._last: Directory | None = None
        self._helper, self._number = self._helpers[0], 0  # of the last directory

    @property
    def left_out(self) -> list[tuple[bytes, str]]:
        """(path, reason) of what was left out; whole after ``drain``."""
        return [one for helper in self._helpers for one in helper.left_out]

    @property
    def blocks(self) -> int:
        """Blocks of 512 bytes that everything made takes on disk; whole after ``drain``."""
        return sum(one.blocks for one in self._helpers)

    def file(self, directory: Directory, name: bytes, member: Member, reader: TarReader) -> None:
        """Have a file of at most `LARGEST` bytes made, with the content of ``reader``."""
        if directory is not self._last:
            self._turn_to(directory)
        self._told += 1
        self._helper.tell_file(self._told, self._number, name, member, reader)

    def symlink(self, directory: Directory, name: bytes, member: Member) -> None:
        """Have a symlink made."""
        if directory is not self._last:
            self._turn_to(directory)
        self._told += 1
        self._helper.tell(
            self._told, member.name,
            (
                writer.SYMLINK, self._number, name, member.linkname, member.mode, member.uid,
                member.gid, member.mtime_ns, member.xattrs or None,
            ),
        )  # fmt: skip

    def hardlink(
        self, directory: Directory, name: bytes, node: Node, source: tuple[Directory, bytes],
        path: bytes,
    ) -> None:  # fmt: skip
        """Have another name made for ``node``, which has the name ``source`` or soon will.

        The helper that makes a file makes all its links, since only it knows when there is one.
        """
        helper = self._linked.get(node)
        if helper is None:
            helper = self._linked[node] = self._owner(source[0])
        numbers = helper.number(directory), helper.number(source[0])
        self._told += 1
        helper.tell(self._told, path, (writer.HARDLINK, numbers[0], name, numbers[1], source[1]))

    def drain(self) -> tuple[bytes, Exception] | None:
        """Wait until all is made; return the failure that came first in the archive, if any.

        That is the path it is about, and what to raise: OSError or LayerFSError.

        StorageError: a helper has died.
        """
        for helper in self._helpers:
            helper.flush()
        for helper in self._helpers:
            helper.wait()
        return min(self.failures, key=lambda one: one[0])[1:] if self.failures else None

    def close(self, *, kill: bool) -> None:
        """End the helpers; with ``kill``, before they have done what they were told."""
        while self._helpers:
            with contextlib.suppress(ProcessLookupError):
                self._helpers.pop().close(kill=kill)

    def _turn_to(self, directory: Directory) -> None:
        """Most entries follow another of the same directory: look up once whose it is."""
        self._last = directory
        self._helper = self._owner(directory)
        self._number = self._helper.number(directory)

    def _owner(self, directory: Directory) -> _Helper:
        helper = self._owners.get(directory)
        if helper is None:
            helper = self._owners[directory] = min(self._helpers, key=lambda one: one.load)
        return helper
