"""A helper process of ``writers``: makes the files, symlinks and hardlinks that it is told to.

Started as ``python -I -S``, with nothing inherited but its pipes, the memory it shares with its
parent, and the directory to extract into. It makes what it is told in the order of telling, each
name below a directory that is opened as in ``handles``. After its first failure it makes nothing
more, and only answers. It ends when its pipe does, or with its parent.
"""

from __future__ import annotations

import marshal
import mmap
import os
import sys
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from layerfs.errors import LayerFSError
from layerfs.handles import open_below
from layerfs.inodes import Inodes, write_all

#: What is asked for, the first item of each request.
DIRECTORY: Final = 0  #: number, path
FILE: Final = 1  #: directory, name, offset, length, mode, uid, gid, mtime_ns, xattrs
SYMLINK: Final = 2  #: directory, name, target, mode, uid, gid, mtime_ns, xattrs
HARDLINK: Final = 3  #: directory, name, directory of the source, its name

#: Each message, both ways: its length in so many bytes, little-endian, and a marshalled object.
PREFIX: Final = 4
_NONE: Final[Mapping[bytes, bytes]] = {}
#: Directories kept open.
_KEPT: Final = 64


class Setup(NamedTuple):
    """What a helper has to know; all of it travels as decimal numbers on the command line."""

    root: int  #: descriptor of the directory to extract into
    memory: int  #: descriptor of the shared memory: segments, one after the other
    segment: int  #: bytes of each segment
    segments: int
    orders: int  #: descriptor to read from
    answers: int  #: descriptor to write to
    userxattr: int
    squash_ids: int
    drop_privileged_xattrs: int


class _Policy(NamedTuple):
    userxattr: bool
    squash_ids: bool
    drop_privileged_xattrs: bool


class _Said:
    """The attributes of the inode at hand, as ``inodes.Attributes``."""

    __slots__ = ("gid", "mode", "mtime_ns", "uid", "xattrs")
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    xattrs: Mapping[bytes, bytes]


class Writer(Inodes):
    """Carries out orders: lists of requests, of which the first says where their content lies."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(_Policy(*map(bool, setup[-3:])), exact_umask=True)
        self._root = setup.root
        self._segment = setup.segment
        size = setup.segment * setup.segments
        self._memory = memoryview(mmap.mmap(setup.memory, size, prot=mmap.PROT_READ))
        self._paths: dict[int, bytes] = {}
        self._open: OrderedDict[int, int] = OrderedDict()
        self._said = _Said()
        self._failed = False

    def carry_out(self, segment: int, requests: list[tuple[Any, ...]]) -> tuple[Any, ...]:
        """Return (failure, what was left out, blocks of 512 bytes that were used).

        The first two name requests by their place. A failure is None or (place, what a LayerFSError
        told or None, errno, message).
        """
        self._blocks = 0
        left_out: list[tuple[int, str]] = []
        base = segment * self._segment
        for at, request in enumerate(requests):
            if self._failed:
                break
            try:
                self._make(base, request)
            except LayerFSError as error:
                self._failed = True
                return (at, error.told(), error.errno, error.message), left_out, self._blocks
            except OSError as error:
                self._failed = True
                return (at, None, error.errno, error.strerror), left_out, self._blocks
            if self._skipped:
                left_out += [(at, reason) for _, reason in self._skipped]
                self._skipped.clear()
        return None, left_out, self._blocks

    def _make(self, base: int, request: tuple[Any, ...]) -> None:
        kind = request[0]
        if kind == FILE:
            _, directory, name, at, length, *rest = request
            self._path = self._paths[directory] + b"/" + name
            at += base
            content = self._memory[at : at + length]
            self._create(self._fd(directory), name, self._attributes(rest), write_all, content)
        elif kind == DIRECTORY:
            self._paths[request[1]] = request[2]
        elif kind == SYMLINK:
            _, directory, name, target, *rest = request
            self._path = self._paths[directory] + b"/" + name
            self._symlink(self._fd(directory), name, target, self._attributes(rest))
        else:
            _, directory, name, source, old = request
            while len(self._open) >= _KEPT:
                os.close(self._open.popitem(last=False)[1])
            to = self._fd(directory)
            os.link(old, name, src_dir_fd=self._fd(source), dst_dir_fd=to, follow_symlinks=False)

    def _attributes(self, rest: list[Any]) -> _Said:
        said = self._said
        said.mode, said.uid, said.gid, said.mtime_ns, xattrs = rest
        said.xattrs = xattrs or _NONE
        return said

    def _fd(self, directory: int) -> int:
        fd = self._open.get(directory)
        if fd is None:
            # One more than are kept, for the two of a hardlink.
            if len(self._open) > _KEPT:
                os.close(self._open.popitem(last=False)[1])
            fd = self._open[directory] = open_below(self._root, self._paths[directory])
        return fd


def read_exactly(fd: int, size: int) -> bytes:
    """Return ``size`` bytes of a pipe; fewer only at its end."""
    data = b""
    while len(data) < size and (more := os.read(fd, size - len(data))):
        data = data + more if data else more
    return data


def receive(fd: int) -> Any:
    """Return the next message of a pipe; EOFError at its end."""
    prefix = read_exactly(fd, PREFIX)
    size = int.from_bytes(prefix, "little")
    body = read_exactly(fd, size)
    if len(prefix) < PREFIX or len(body) < size:
        raise EOFError
    return marshal.loads(body)  # noqa: S302 - written by our own parent or child


def send(fd: int, message: tuple[Any, ...]) -> None:
    """Write one message to a pipe. OSError (EPIPE) when nobody reads it any more."""
    body = marshal.dumps(message)
    write_all(fd, len(body).to_bytes(PREFIX, "little") + body)


def main(arguments: list[str]) -> None:
    """Serve until the parent closes its end."""
    setup = Setup(*map(int, arguments))
    os.umask(0)
    writer = Writer(setup)
    while True:
        try:
            segment, requests = receive(setup.orders)
        except EOFError:
            return
        try:
            send(setup.answers, writer.carry_out(segment, requests))
        except BrokenPipeError:
            return


if __name__ == "__main__":
    main(sys.argv[1:])
