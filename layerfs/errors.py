"""The closed list of layerfs errors. This module does nothing but define them.

Each class has a stable ``code`` (its name in kebab case, without ``Error`` unless the word is part
of the name), which is what the protocol carries, and the facts of the failure as fields.

    LayerFSError
    ├── ValidationError            a request, digest, manifest, or archive is malformed
    ├── PathError                  a path of the host cannot be used
    ├── PermissionDeniedError      the kernel, or the store's owner, says no
    ├── StorageError               the store's disk failed (EIO, corrupt tree, not a store)
    │   └── WriteFailedError       writing failed (ENOSPC, EDQUOT, EFBIG, EROFS of the disk)
    ├── MetadataError              layerfs.db or index.json: damaged, or of a newer version
    ├── LimitExceededError         a documented limit; the fields name it and its value
    ├── InvalidLayerPathError      a path inside a layer cannot be what the archive says
    │   └── HostileLayerError      the layer tries to leave its root, or to forge a whiteout
    ├── DigestMismatchError        content is not what its descriptor says (digest or size)
    ├── CompressionError / DecompressionError
    ├── LayerNotFoundError, LayerInUseError
    ├── InvalidLayerOrderError, CircularDependencyError
    ├── InvalidMountPointError, InvalidOverlayError, ReadOnlyFilesystemError
    ├── MountFailedError, UnmountFailedError
    ├── LayerStackingFailedError, LayerMergingFailedError
    ├── UnsupportedError           the operation is not offered by this backend (exit status 11)
    └── ZFSError
        ├── ZFSDatasetNotFoundError, ZFSDatasetCreateFailedError, ZFSDatasetDestroyFailedError
        └── ZFSSnapshotFailedError, ZFSCloneFailedError
"""

from __future__ import annotations

import errno as _errno
import os
from collections.abc import Mapping
from typing import Any, ClassVar


def _kebab(name: str) -> str:
    """Return words in capitals with hyphens: "ZFSCloneFailed" is "zfs-clone-failed"."""
    text = ""
    for at, one in enumerate(name):
        begins = name[at + 1 : at + 2].islower() or name[at - 1 : at].islower()
        text += f"-{one}" if at and one.isupper() and begins else one
    return text.lower()


class LayerFSError(Exception):
    """A refusal: the operation was not done, and the host is as it was before.

    ``message`` is one line with the fact and, where there is one, the remedy. The optional facts:
    ``digest`` (of the layer or blob), ``path`` (on the host, or within the layer), ``holder`` (who
    uses it: a process, mount, image, lease or layer), ``errno``, ``limit`` (name=value).
    """

    code: ClassVar[str] = "layerfs"
    #: Set on classes whose name keeps the word "Error" in the protocol's code.
    _keeps_error: ClassVar[bool] = False

    def __init_subclass__(cls, *, keeps_error: bool = False) -> None:
        """Derive the stable code from the class name."""
        super().__init_subclass__()
        cls._keeps_error = keeps_error
        cls.code = _kebab(cls.__name__ if keeps_error else cls.__name__.removesuffix("Error"))

    def __init__(
        self,
        message: str,
        *,
        digest: str | None = None,
        path: str | bytes | os.PathLike[str] | None = None,
        holder: str | None = None,
        errno: int | None = None,
        limit: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.digest = digest
        self.path = None if path is None else os.fsdecode(path)
        self.holder = holder
        self.errno = errno
        self.limit = limit

    def facts(self) -> dict[str, Any]:
        """Return the protocol's error object: code, message, and the facts that are known."""
        facts = {
            "digest": self.digest,
            "path": self.path,
            "holder": self.holder,
            "errno": None if self.errno is None else _errno.errorcode.get(self.errno, self.errno),
            "limit": self.limit,
        }
        known = {name: value for name, value in facts.items() if value is not None}
        return {"code": self.code, "message": self.message, **known}

    def told(self) -> dict[str, Any]:
        """Return it as plain values, for another process; see `retold`."""
        names = ("digest", "path", "holder", "errno", "limit")
        facts = {name: getattr(self, name) for name in names}
        return {"class": type(self).__name__, "message": self.message, "facts": facts}


def retold(told: Mapping[str, Any]) -> LayerFSError:
    """Return the error that another process told; ``told`` is what its ``told`` returned."""
    kinds = {kind.__name__: kind for kind in _kinds(LayerFSError)}
    return kinds[told["class"]](told["message"], **told["facts"])


def _kinds(kind: type[LayerFSError]) -> set[type[LayerFSError]]:
    return {kind}.union(*(_kinds(sub) for sub in kind.__subclasses__()))


class ValidationError(LayerFSError, keeps_error=True):
    """A request, digest, manifest, config, or archive is malformed."""


class PathError(LayerFSError, keeps_error=True):
    """A path of the host is missing, of the wrong type, or unusable."""


class PermissionDeniedError(LayerFSError):
    """The kernel refused for want of privilege; the message says which."""


class StorageError(LayerFSError, keeps_error=True):
    """The store's disk or tree failed: EIO, not a store, a damaged layer."""


class WriteFailedError(StorageError):
    """Writing to the store failed: no space, quota, file size limit, read-only disk."""


class MetadataError(LayerFSError, keeps_error=True):
    """The store's own metadata is damaged, or was written by a newer version."""


class LimitExceededError(LayerFSError):
    """A documented limit was met; ``limit`` carries its name and value."""


class InvalidLayerPathError(LayerFSError):
    """A path inside the layer cannot be created as the archive asks."""


class HostileLayerError(InvalidLayerPathError):
    """The layer tries to reach outside its root, or to forge the store's own markers."""


class DigestMismatchError(LayerFSError):
    """Content differs from its descriptor, in digest or in size."""


class CompressionError(LayerFSError, keeps_error=True):
    """A layer could not be compressed."""


class DecompressionError(LayerFSError, keeps_error=True):
    """A blob is not a whole stream of its compression: damaged, truncated, or with garbage."""


class LayerNotFoundError(LayerFSError):
    """No such layer, image, or lease in this store."""


class LayerInUseError(LayerFSError):
    """The layer is referenced or mounted; ``holder`` names by whom."""


class InvalidLayerOrderError(LayerFSError):
    """The layers cannot be ordered: a dependency is missing."""


class CircularDependencyError(LayerFSError):
    """Layers depend on each other in a circle; the message shows it."""


class InvalidMountPointError(LayerFSError):
    """The target cannot be mounted on, or is no mount of this store."""


class InvalidOverlayError(LayerFSError):
    """This host or file system cannot serve the overlay asked for; the message says what lacks."""


class ReadOnlyFilesystemError(LayerFSError):
    """A change was asked of a store or view that is read-only."""


class MountFailedError(LayerFSError):
    """The kernel refused a mount; the message carries its own log."""


class UnmountFailedError(LayerFSError):
    """The mount is busy, or the kernel refused; ``holder`` names who keeps it."""


class LayerStackingFailedError(LayerFSError):
    """The stack could not be made for a reason that no other code names."""


class LayerMergingFailedError(LayerFSError):
    """The merge could not be made for a reason that no other code names."""


class UnsupportedError(LayerFSError):
    """The operation is not offered here. Exit status 11, never 10."""


class ZFSError(LayerFSError, keeps_error=True):
    """ZFS refused; the message carries its words."""


class ZFSDatasetNotFoundError(ZFSError):
    """No such dataset."""


class ZFSDatasetCreateFailedError(ZFSError):
    """A dataset could not be created."""


class ZFSDatasetDestroyFailedError(ZFSError):
    """A dataset could not be destroyed."""


class ZFSSnapshotFailedError(ZFSError):
    """A zfs snapshot could not be taken."""


class ZFSCloneFailedError(ZFSError):
    """A clone could not be made."""


def from_os_error(error: OSError, doing: str, path: str | bytes | None = None) -> LayerFSError:
    """Re-raise an operating system error as ours: the one mapping from errno to class.

    ``doing`` is a phrase such as "writing layer"; the path of the error is used when none is given.
    """
    where = path if path is not None else error.filename
    shown = "" if where is None else f" {os.fsdecode(where)!r}"
    text = f"{doing}{shown}: {error.strerror or error}"
    full = {_errno.ENOSPC, _errno.EDQUOT, _errno.EFBIG, _errno.EROFS, _errno.EMFILE, _errno.ENFILE}
    kind: type[LayerFSError]
    if error.errno in full:
        kind = WriteFailedError
    elif error.errno in {_errno.EPERM, _errno.EACCES}:
        kind = PermissionDeniedError
    elif error.errno in {
        _errno.ENOENT, _errno.ENOTDIR, _errno.EISDIR, _errno.ELOOP, _errno.ENAMETOOLONG,
        _errno.EEXIST, _errno.ENOTEMPTY,
    }:  # fmt: skip
        kind = PathError
    else:
        kind = StorageError
    return kind(text, path=where, errno=error.errno)


CODES: frozenset[str]


CODES = frozenset({kind.code for kind in _kinds(LayerFSError)} - {LayerFSError.code})
