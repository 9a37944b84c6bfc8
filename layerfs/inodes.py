"""Make one inode of a layer: its content, then its metadata, in the order that the kernel needs.

Everything is done to a descriptor, or to one name in a directory that is open, never to a path:
there is nothing to be led astray by. ``apply`` does so itself, and has ``writer`` do so in helper
processes; both by this class.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from layerfs import layerxattrs
from layerfs.errors import InvalidOverlayError, PermissionDeniedError, from_os_error
from layerfs.syscalls import write_back

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SPECIAL_BITS: Final = 0o7000
#: Of attributes that a file system may lack; what is unknown to the kernel (xattr(7)) is not.
_KNOWN: Final = (b"user.", b"trusted.", b"security.", *layerxattrs.ACLS)
#: Bytes of one file after which the disk may begin with it, so that the last sync has less to do.
_WRITE_BACK: Final = 8 << 20


class Attributes(Protocol):
    """What is said of an inode; a ``Member`` of a tar, or what is left of it on the way here."""

    @property
    def mode(self) -> int:
        """Permission bits, setuid, setgid and sticky."""

    @property
    def uid(self) -> int:
        """The owner."""

    @property
    def gid(self) -> int:
        """The group."""

    @property
    def mtime_ns(self) -> int:
        """The time of modification, in nanoseconds since the epoch."""

    @property
    def xattrs(self) -> Mapping[bytes, bytes]:
        """Extended attributes, as the layer has them."""


class Inodes:
    """Makes inodes under one policy. ``exact_umask``: this process's umask is 0, and stays so.

    Raises OSError; PermissionDeniedError for an owner that cannot be; for an extended attribute
    what ``from_os_error`` makes of it, with ``path`` (set it to what is being made).
    """

    def __init__(self, options: layerxattrs.Policy, *, exact_umask: bool = False) -> None:
        self._options = options
        #: Outside the initial user namespace some things cannot be had, and are left out.
        self._lenient = options.squash_ids or options.drop_privileged_xattrs
        self._exact_umask = exact_umask
        self._me = (os.geteuid(), os.getegid())
        self._path = b"."
        #: (path, reason) of what was left out.
        self._skipped: list[tuple[bytes, str]] = []
        self._blocks = 0  # that all inodes made so far take on disk, of 512 bytes each

    def _create(
        self,
        parent: int,
        name: bytes,
        member: Attributes,
        fill: Callable[[int, Any], object],
        content: Any,
    ) -> None:
        """Make a new file; ``fill(fd, content)`` writes into it."""
        # A mode that is right from the start need not be set again.
        plain = self._exact_umask and not member.xattrs and not member.mode & _SPECIAL_BITS
        fd = os.open(name, _NEW_FILE, member.mode if plain else 0o600, dir_fd=parent)
        try:
            fill(fd, content)
            if plain:
                if self._must_chown(member):
                    self._chown(member, fd)
                os.utime(fd, ns=(member.mtime_ns, member.mtime_ns))
            else:
                self._set_metadata(fd, member)
            self._blocks += os.fstat(fd).st_blocks
        finally:
            os.close(fd)

    def _symlink(self, parent: int, name: bytes, target: bytes, member: Attributes) -> None:
        os.symlink(target, name, dir_fd=parent)
        if self._must_chown(member):
            self._chown(member, name, dir_fd=parent)
        if member.xattrs:
            # There is no setxattrat(2) before Linux 6.13. The descriptor is ours, the rest a name.
            self._set_xattrs(
                b"/proc/self/fd/%d/%b" % (parent, name),
                layerxattrs.stored(member.xattrs, self._options),
                follow=False,
            )
        times = (member.mtime_ns, member.mtime_ns)
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)
        self._count(parent, name)

    def _count(self, parent: int, name: bytes) -> None:
        """Add the blocks of a new inode."""
        self._blocks += os.stat(name, dir_fd=parent, follow_symlinks=False).st_blocks

    def _set_metadata(
        self, target: int | bytes, member: Attributes, *, opaque: bool = False
    ) -> None:
        """Write all metadata of an inode, given as descriptor or as its path in /proc/self/fd.

        In this order: chown(2) clears setuid and capabilities; writing ``user.*`` needs the mode
        to allow it, which the final one may not; an ACL has the last word on the mode.
        """
        if self._must_chown(member):
            self._chown(member, target)
        acls: dict[bytes, bytes] = {}
        if member.xattrs or opaque:
            xattrs = layerxattrs.stored(member.xattrs, self._options)
            acls = {name: xattrs.pop(name) for name in layerxattrs.ACLS if name in xattrs}
            if opaque:
                xattrs[layerxattrs.opaque_name(self._options)] = b"y"
            self._set_xattrs(target, xattrs)
        os.chmod(target, member.mode)
        if acls:
            self._set_xattrs(target, acls)
        os.utime(target, ns=(member.mtime_ns, member.mtime_ns))

    def _must_chown(self, member: Attributes) -> bool:
        return (member.uid, member.gid) != self._me and not self._options.squash_ids

    def _chown(self, member: Attributes, target: int | bytes, *, dir_fd: int | None = None) -> None:
        try:
            os.chown(target, member.uid, member.gid, dir_fd=dir_fd, follow_symlinks=dir_fd is None)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise PermissionDeniedError(
                f"{self._path!r}: owner {member.uid}:{member.gid} is not mapped in this user "
                "namespace",
                path=self._path,
                errno=error.errno,
            ) from error

    def _set_xattrs(
        self, target: int | bytes, xattrs: Mapping[bytes, bytes], *, follow: bool = True
    ) -> None:
        for name, value in xattrs.items():
            try:
                os.setxattr(target, name, value, follow_symlinks=follow)
            except OSError as error:
                if error.errno == errno.EPERM and name == layerxattrs.CAPABILITY and self._lenient:
                    self._skipped.append((self._path, "capabilities cannot be set here"))
                    continue
                if error.errno == errno.ENOTSUP and follow and name.startswith(_KNOWN):
                    raise self._lacking(target, name, error) from error
                shown = os.fsdecode(name)
                raise from_os_error(error, f"setting {shown!r} on", self._path) from error

    def _lacking(self, target: int | bytes, name: bytes, error: OSError) -> InvalidOverlayError:
        """Return the error for an attribute of a kind that the file system does not keep."""
        from layerfs.filesystems import file_system_of  # noqa: PLC0415 - for this message only

        disk = file_system_of(target)
        what, lacks = (
            ("POSIX ACLs", "acls")
            if name in layerxattrs.ACLS
            else (f"attributes such as {os.fsdecode(name)!r}", "xattrs")
        )
        return InvalidOverlayError(
            f"{self._path!r} has what the file system of the store ({disk}) cannot keep, {what}; "
            f"{disk.remedy(lacks)}",
            path=self._path,
            errno=error.errno,
        )


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of it: a nearly full disk, or a file size limit, takes a part first."""
    written = os.write(fd, data) if data else 0
    while written < len(data):
        written += os.write(fd, data[written:])


def write_pieces(fd: int, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a long run of data, and have the disk begin with it meanwhile."""
    begun = written = 0
    for piece in pieces:
        write_all(fd, piece)
        written += len(piece)
        if written - begun >= _WRITE_BACK:
            write_back(fd)
            begun = written
