"""Extract one layer's tar below a directory, in the form that overlayfs reads.

The directory must be empty and out of others' reach: a staging directory. Nothing outside it is
ever touched, whatever the tar says and whatever happens to the tree meanwhile:

- which directory a name belongs to is decided by ``layertree`` from the layer's own entries, and
  that directory is then opened by ``handles`` (openat2(2), RESOLVE_IN_ROOT and no symlinks at all):
  a symlink that somebody swapped in is an error, not a way out;
- everything else names one component relative to such a descriptor, without following it, or is
  done to the descriptor of the file itself.

Metadata of directories is written at the end, deepest first: until then they are ours, mode 0700,
without default ACLs and setgid bits that their children would inherit. Whiteouts are made at the
end, too. Nothing is made durable here: that is for the store (``syncfs``), though the disk is made
to begin with it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from layerfs import layerxattrs, writers
from layerfs.earlysync import EarlySync
from layerfs.errors import (
    InvalidLayerPathError,
    InvalidOverlayError,
    LayerFSError,
    from_os_error,
)
from layerfs.handles import Handles
from layerfs.inodes import Inodes, write_all, write_pieces
from layerfs.layertree import Directory, LayerTree, Node, Step
from layerfs.tarstream import Member

if TYPE_CHECKING:
    from layerfs.tarstream import TarReader

LayerPath = bytes

_INODE: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

_IMPLICIT_MODE: Final = 0o755
#: Of st_blocks, stat(2).
_BLOCK: Final = 512
#: So many files, symlinks and hardlinks are worth the start of helpers.
_MANY: Final = 400
#: The same, of a layer whose blob is known to be large.
_SOME: Final = 64
#: What only a bad name, or somebody else in the staging directory, can bring about.
_PATH_ERRORS: Final = frozenset({
    errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT,
    errno.ENOTEMPTY, errno.EXDEV, errno.EMLINK,
})  # fmt: skip


#: No entry of a layer can have this name (whiteout.classify refuses it).
_TEMPORARY: Final = b".wh..wh.link"
_SPECIAL: Final = {"fifo": stat.S_IFIFO, "char": stat.S_IFCHR, "block": stat.S_IFBLK}


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """What can be stored on this host, for this user; found out by the backend's ``probe``."""

    userxattr: bool = False  #: mark opaque directories with ``user.overlay.*``, not ``trusted.``
    squash_ids: bool = False  #: all files belong to the caller; devices may be left out
    drop_privileged_xattrs: bool = False  #: leave out trusted.*, and security.* but capability


@dataclass(slots=True)
class ApplyReport:
    """What was extracted.

    ``implicit``: sorted paths of directories (the root is ``b"."``) that no entry of this layer
    describes and whose metadata a lower layer may decide. ``opaque_root``: an opaque marker at the
    top, which overlayfs does not honour on a layer's root directory: whoever stacks leaves out the
    layers below.
    """

    entries: int = 0  #: members of the tar, markers included
    bytes: int = 0  #: of file content written, holes not counted
    implicit: list[LayerPath] = field(default_factory=list)
    opaque_root: bool = False
    #: Sorted paths of the directories that hold whiteouts. overlayfs lists them as devices where it
    #: has nothing to merge such a directory with (ovl_iterate in the kernel's fs/overlayfs).
    whiteouts: list[LayerPath] = field(default_factory=list)
    #: Paths of the directories that hide all that lower layers have there, the root among them.
    opaque: list[LayerPath] = field(default_factory=list)
    #: (path, reason) of what this host cannot store and the options allow to leave out.
    skipped: list[tuple[LayerPath, str]] = field(default_factory=list)
    #: Bytes that all of it takes on disk (st_blocks). None: something was made and removed again.
    disk_usage: int | None = None


def apply(reader: TarReader, root_fd: int, *, options: ApplyOptions | None = None) -> ApplyReport:
    """Extract all members of ``reader`` below the empty directory ``root_fd``.

    Raises what the reader raises, HostileLayerError, InvalidLayerPathError, WriteFailedError,
    PermissionDeniedError, StorageError; ``path`` is that within the layer. What
    was extracted until then remains, to be removed by the caller.
    """
    return _Applier(reader, root_fd, options or ApplyOptions()).run()


class _Applier(Inodes):
    def __init__(self, reader: TarReader, root_fd: int, options: ApplyOptions) -> None:
        super().__init__(options)
        self._reader = reader
        self._tree = LayerTree(reader.limits)
        self._report = ApplyReport()
        self._root_fd = root_fd
        self._handles = Handles(root_fd)
        self._fd = self._handles.fd
        self._absent: set[Node] = set()  #: in the tree, but left out on disk
        self._has_removed = False
        self._early = EarlySync(root_fd)
        self._writers: writers.Writers | None = None
        self._small = 0  #: files, symlinks and hardlinks so far
        self._makers = {
            "file": self._make_file,
            "dir": self._make_directory,
            "symlink": self._make_symlink,
            "hardlink": self._make_hardlink,
            "fifo": self._make_special,
            "char": self._make_special,
            "block": self._make_special,
        }

    def run(self) -> ApplyReport:
        try:
            self._extract()
        except OSError as error:
            raise self._translated(error) from error
        finally:
            self._handles.close_all()
            if self._writers is not None:
                self._writers.close(kill=True)
            self._early.close()
        self._report.skipped += self._skipped
        self._report.whiteouts.sort()
        self._report.implicit = self._tree.implicit()
        self._report.opaque_root = self._tree.root.opaque
        if not self._has_removed:
            self._report.disk_usage = self._blocks * _BLOCK
        return self._report

    def _extract(self) -> None:
        self._prepare_root()
        try:
            for member in self._reader:
                self._path = member.name
                self._report.entries += 1
                self._add(member)
        except (LayerFSError, OSError):
            self._drain()  # what a helper met earlier in the archive comes first
            raise
        self._drain()
        if self._writers is not None:
            self._skipped += self._writers.left_out
            self._blocks += self._writers.blocks
        self._tree.settle()
        self._make_implicit()
        self._finish_directories()

    def _translated(self, error: OSError) -> LayerFSError:
        if error.errno == errno.EILSEQ:
            from layerfs.filesystems import file_system_of  # noqa: PLC0415 - for this message only

            disk = file_system_of(self._root_fd)
            return InvalidOverlayError(
                f"{self._path!r} cannot be a name on the file system of the store ({disk}), which "
                f"takes only UTF-8; {disk.remedy('bytes')}",
                path=self._path,
                errno=error.errno,
            )
        if error.errno in _PATH_ERRORS:
            text = f"{self._path!r} cannot be created: {error.strerror}"
            return InvalidLayerPathError(text, path=self._path, errno=error.errno)
        return from_os_error(error, "extracting", self._path)

    def _prepare_root(self) -> None:
        # Children inherit a default ACL, and the group of a setgid directory (or of any directory,
        # on a file system mounted with "grpid").
        if not self._options.squash_ids:
            os.fchown(self._root_fd, *self._me)
        os.fchmod(self._root_fd, 0o700)
        for name in (layerxattrs.ACL_DEFAULT, layerxattrs.ACL_ACCESS):
            try:
                os.removexattr(self._root_fd, name)
            except OSError as error:
                if error.errno not in {errno.ENODATA, errno.ENOTSUP}:
                    raise

    # --- members -------------------------------------------------------------------------------

    def _add(self, member: Member) -> None:
        step = self._tree.add(member)
        if self._tree.made:
            self._make_implicit()
        if step is None:
            return
        if step.old is not None and step.old is not step.node and member.kind != "hardlink":
            self._remove(step.parent, step.name, step.old)
        self._makers[member.kind](member, step)

    def _make_implicit(self) -> None:
        for directory in self._tree.made:
            if directory.parent is not None:
                self._handles.trim()
                os.mkdir(directory.name, 0o700, dir_fd=self._fd(directory.parent))
        self._tree.made.clear()

    def _make_directory(self, member: Member, step: Step) -> None:
        step.node.member = member
        if step.old is not step.node:
            os.mkdir(step.name, 0o700, dir_fd=self._parent(step))

    def _make_file(self, member: Member, step: Step) -> None:
        size = member.size
        if size <= writers.LARGEST and member.sparse is None:
            if (helpers := self._helped()) is not None:
                helpers.file(step.parent, step.name, member, self._reader)
            else:
                content = self._reader.read(size)
                self._create(self._parent(step), step.name, member, write_all, content)
        elif member.sparse is None:
            pieces = self._reader.chunks(size)
            self._create(self._parent(step), step.name, member, write_pieces, pieces)
        else:
            self._create(self._parent(step), step.name, member, self._write_sparse, member)
            return
        self._report.bytes += size
        if self._report.bytes >= self._early.next:
            self._early.reached(self._report.bytes)

    def _write_sparse(self, fd: int, member: Member) -> None:
        for offset, length in member.sparse or ():
            os.lseek(fd, offset, os.SEEK_SET)
            write_pieces(fd, self._reader.chunks(length))
            self._report.bytes += length
        os.ftruncate(fd, member.size)

    def _make_symlink(self, member: Member, step: Step) -> None:
        if (helpers := self._helped()) is not None:
            helpers.symlink(step.parent, step.name, member)
        else:
            self._symlink(self._parent(step), step.name, member.linkname, member)

    def _make_hardlink(self, member: Member, step: Step) -> None:
        if step.node in self._absent or step.source is None:
            self._skipped.append((member.name, "a link to what was left out"))
            if step.old is not None:
                self._remove(step.parent, step.name, step.old)
            return
        if step.old is None and (helpers := self._helped()) is not None:
            helpers.hardlink(step.parent, step.name, step.node, step.source, member.name)
            return
        self._drain()
        self._handles.trim()
        directory, source = step.source
        # What is replaced may be a directory that holds the target: link first, then remove.
        name = step.name if step.old is None else _TEMPORARY
        os.link(
            source,
            name,
            src_dir_fd=self._fd(directory),
            dst_dir_fd=self._fd(step.parent),
            follow_symlinks=False,
        )
        if step.old is not None:
            self._remove(step.parent, step.name, step.old)
            parent = self._fd(step.parent)
            os.rename(name, step.name, src_dir_fd=parent, dst_dir_fd=parent)

    def _make_special(self, member: Member, step: Step) -> None:
        kind = _SPECIAL[member.kind]
        device = os.makedev(*member.rdev) if member.kind != "fifo" else 0
        parent = self._parent(step)
        try:
            os.mknod(step.name, kind | 0o600, device, dir_fd=parent)
        except PermissionError:
            if member.kind == "fifo" or not self._lenient:
                raise
            # Only the host's root may make devices (mknod(2), CAP_MKNOD); a container engine gives
            # a rootless container those of the host.
            self._absent.add(step.node)
            self._skipped.append((member.name, "devices need the host's root"))
            return
        # Opening a device or fifo would act on it, so: an O_PATH descriptor, through /proc.
        fd = os.open(step.name, _INODE, dir_fd=parent)
        try:
            status = os.fstat(fd)
            if stat.S_IFMT(status.st_mode) != kind or status.st_rdev != device:
                raise OSError(errno.EEXIST, "somebody replaced it meanwhile")
            self._set_metadata(b"/proc/self/fd/%d" % fd, member)
            self._blocks += os.fstat(fd).st_blocks
        finally:
            os.close(fd)

    def _parent(self, step: Step) -> int:
        """Return a descriptor of the directory of a new name; others may be closed for it."""
        self._handles.trim()
        return self._fd(step.parent)

    def _remove(self, parent: Directory, name: bytes, old: Node) -> None:
        """Delete what this layer put at ``name``, and nothing else: ENOTEMPTY otherwise."""
        self._has_removed = True
        self._drain()
        if not isinstance(old, Directory):
            if old not in self._absent:
                self._handles.trim()
                os.unlink(name, dir_fd=self._fd(parent))
            return
        for directory in reversed(old.subtree()):
            fd = self._fd(directory)
            for child, node in directory.children.items():
                if isinstance(node, Directory):
                    os.rmdir(child, dir_fd=fd)
                elif node not in self._absent:
                    os.unlink(child, dir_fd=fd)
            self._handles.close(directory)
            self._handles.trim()
        os.rmdir(name, dir_fd=self._fd(parent))

    # --- helpers ---------------------------------------------------------------------------------

    def _helped(self) -> writers.Writers | None:
        """Return the helpers; None while the layer may still turn out to be a small one."""
        helpers = self._writers
        if helpers is not None:
            if helpers.failures:
                self._drain()
            return helpers
        self._small += 1
        if self._small == (_SOME if self._reader.is_large else _MANY):
            self._writers = self._started()
        return self._writers

    def _started(self) -> writers.Writers | None:
        from layerfs import command  # noqa: PLC0415 - only a large layer waits for it

        with contextlib.suppress(OSError):  # no memory, too many processes (RLIMIT_NPROC, pids.max)
            if command.are_possible():
                return writers.Writers(self._root_fd, self._options)
        return None

    def _drain(self) -> None:
        """Wait for the helpers, and raise what failed there."""
        if self._writers is not None and (failure := self._writers.drain()) is not None:
            self._path, error = failure
            raise error

    # --- the end ---------------------------------------------------------------------------------

    def _finish_directories(self) -> None:
        """Make whiteouts and write metadata, children first, so that a mode shuts out nothing."""
        self._handles.close_all()  # opened anew, a directory that was swapped meanwhile is noticed
        for directory in reversed(self._tree.root.subtree()):
            self._handles.trim()
            member = directory.member
            if member is None:
                member = Member(directory.path(), "dir", _IMPLICIT_MODE)
            self._path = member.name
            fd = self._fd(directory)
            if directory.opaque:
                self._report.opaque.append(directory.path())
            whiteouts = directory.whiteouts()
            if whiteouts:
                self._report.whiteouts.append(directory.path())
            for name in whiteouts:
                self._path = directory.path(name)
                os.mknod(name, stat.S_IFCHR, 0, dir_fd=fd)
                self._count(fd, name)
            self._path = member.name
            self._set_metadata(fd, member, opaque=directory.opaque)
            self._blocks += os.fstat(fd).st_blocks
            self._handles.close(directory)
