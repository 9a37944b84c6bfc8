"""libzfs_core through ctypes: its prototypes, and lists in and out. Nothing here decides anything.

Prototypes are those of libzfs_core.h and libnvpair.h of OpenZFS 2.1 to 2.3; the library is declared
stable ("committed") by its authors. Each call returns an errno, 0 for success, and lets other
threads run meanwhile.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Mapping
from typing import Any, Final, Self

from layerfs.zfs.nvlist import decoded, encoded

#: 3 from OpenZFS 2.0 on, 1 before that; the others in case of what is to come.
_SONAMES: Final = (
    "libzfs_core.so.3", "libzfs_core.so.4", "libzfs_core.so.5", "libzfs_core.so.1",
    "libzfs_core.so",
)  # fmt: skip
_TYPE_FILESYSTEM: Final = 2  # LZC_DATSET_TYPE_ZFS
_ENCODE_XDR: Final = 1  # NV_ENCODE_XDR
_NO_CLEANUP: Final = -1

_int = ctypes.c_int
_uint = ctypes.c_uint
_u64 = ctypes.c_uint64
_size = ctypes.c_size_t
_string = ctypes.c_char_p
_pointer = ctypes.c_void_p

_PROTOTYPES: Final[dict[str, tuple[Any, ...]]] = {
    "libzfs_core_init": (),
    "lzc_exists": (_string,),
    "lzc_create": (_string, _int, _pointer, _pointer, _uint),
    "lzc_clone": (_string, _string, _pointer),
    "lzc_rename": (_string, _string),
    "lzc_promote": (_string, _string, _int),
    "lzc_destroy": (_string,),
    "lzc_snapshot": (_pointer, _pointer, _pointer),
    "lzc_hold": (_pointer, _int, _pointer),
    "lzc_release": (_pointer, _pointer),
    "lzc_send": (_string, _string, _int, _int),
    "lzc_receive_with_cmdprops": (
        _string, _pointer, _pointer, _pointer, _uint, _string, _int, _int, _int, _int, _string,
        _int, _pointer, _pointer, _pointer, _pointer,
    ),
    "lzc_channel_program": (_string, _string, _u64, _u64, _pointer, _pointer),
    "lzc_channel_program_nosync": (_string, _string, _u64, _u64, _pointer, _pointer),
    "nvlist_unpack": (_pointer, _size, _pointer, _int),
    "nvlist_size": (_pointer, _pointer, _int),
    "nvlist_pack": (_pointer, _pointer, _pointer, _int, _int),
}  # fmt: skip

List = Mapping[str, Any]


class Library:
    """libzfs_core, loaded. Names are ``bytes``-able text, lists are Python's own."""

    def __init__(self, core: ctypes.CDLL) -> None:
        # The functions of libnvpair are found among what libzfs_core was linked with, so that both
        # speak of the same lists, whichever versions are installed beside each other.
        self._functions = {name: _function(core, name, of) for name, of in _PROTOTYPES.items()}
        self._free = core["nvlist_free"]
        self._free.argtypes = (_pointer,)
        self._free.restype = None

    @classmethod
    def load(cls) -> Library:
        """Load the library and open /dev/zfs. OSError: one of them is not there, or not for us."""
        library = cls(_loaded())
        number = library._call("libzfs_core_init")
        if number:
            raise OSError(number, os.strerror(number), "/dev/zfs")
        return library

    def exists(self, name: str) -> bool:
        """lzc_exists: False also for a name that cannot be looked up."""
        return bool(self._call("lzc_exists", name.encode()))

    def create(self, name: str, properties: List) -> int:
        """lzc_create, of a filesystem; it is not mounted."""
        with _Lists(self) as lists:
            listed = lists.given(properties)
            return self._call("lzc_create", name.encode(), _TYPE_FILESYSTEM, listed, None, 0)

    def clone(self, name: str, origin: str, properties: List) -> int:
        """lzc_clone; it is not mounted."""
        with _Lists(self) as lists:
            return self._call("lzc_clone", name.encode(), origin.encode(), lists.given(properties))

    def rename(self, name: str, to: str) -> int:
        """lzc_rename; what is mounted stays so."""
        return self._call("lzc_rename", name.encode(), to.encode())

    def promote(self, name: str) -> tuple[int, str]:
        """lzc_promote; with EEXIST, the last component of the snapshot that is in the way."""
        conflict = ctypes.create_string_buffer(256)
        number = self._call("lzc_promote", name.encode(), conflict, len(conflict))
        return number, conflict.value.decode()

    def destroy(self, name: str) -> int:
        """lzc_destroy."""
        return self._call("lzc_destroy", name.encode())

    def snapshot(self, names: List, properties: List) -> tuple[int, dict[str, Any]]:
        """lzc_snapshot; ``names`` are the keys. Returns the errno of each that failed as well."""
        with _Lists(self) as lists:
            given, errors = (lists.given(names), lists.given(properties)), lists.room()
            return self._call("lzc_snapshot", *given, errors), lists.taken(errors)

    def hold(self, holds: List) -> tuple[int, dict[str, Any]]:
        """lzc_hold, for good; snapshot to tag. What failed is not always told by the errno."""
        with _Lists(self) as lists:
            given, errors = lists.given(holds), lists.room()
            return self._call("lzc_hold", given, _NO_CLEANUP, errors), lists.taken(errors)

    def release(self, holds: List) -> tuple[int, dict[str, Any]]:
        """lzc_release; snapshot to a list whose keys are tags. As for ``hold``."""
        with _Lists(self) as lists:
            given, errors = lists.given(holds), lists.room()
            return self._call("lzc_release", given, errors), lists.taken(errors)

    def send(self, name: str, from_: str | None, fd: int) -> int:
        """lzc_send, without any flag."""
        begin = None if from_ is None else from_.encode()
        return self._call("lzc_send", name.encode(), begin, fd, 0)

    def receive(
        self, name: str, properties: List, origin: str | None, fd: int, begin: bytes, *, raw: bool
    ) -> tuple[int, dict[str, Any]]:
        """lzc_receive_with_cmdprops, with the record that the caller has read from ``fd``.

        ``properties`` become local ones. Returns the errno of each that was not set as well.
        """
        with _Lists(self) as lists:
            local, errors = lists.given(properties), lists.room()
            counts = [ctypes.byref(_u64()) for _ in range(3)]
            number = self._call(
                "lzc_receive_with_cmdprops",
                name.encode(), None, local, None, 0, None if origin is None else origin.encode(),
                0, 0, int(raw), fd, begin, _NO_CLEANUP, *counts, errors,
            )  # fmt: skip
            return number, lists.taken(errors)

    def channel_program(
        self, pool: str, program: str, arguments: List, limits: tuple[int, int], *, syncing: bool
    ) -> tuple[int, dict[str, Any]]:
        """lzc_channel_program, or its read-only form; ``limits``: instructions, bytes of memory."""
        call = "lzc_channel_program" if syncing else "lzc_channel_program_nosync"
        with _Lists(self) as lists:
            given, answer = lists.given(arguments), lists.room()
            number = self._call(call, pool.encode(), program.encode(), *limits, given, answer)
            return number, lists.taken(answer)

    def unpacked(self, values: List) -> ctypes.c_void_p:
        """Return a new nvlist, which is the caller's to ``free``."""
        data = encoded(values)
        made = _pointer()
        number = self._call("nvlist_unpack", data, len(data), ctypes.byref(made), 0)
        if number:
            raise OSError(number, os.strerror(number), "nvlist_unpack")
        return made

    def packed(self, listed: ctypes.c_void_p) -> dict[str, Any]:
        """Return what an nvlist holds."""
        size = _size()
        number = self._call("nvlist_size", listed, ctypes.byref(size), _ENCODE_XDR)
        data = ctypes.create_string_buffer(size.value)
        at = _pointer(ctypes.addressof(data))
        given = (ctypes.byref(at), ctypes.byref(size), _ENCODE_XDR, 0)
        number = number or self._call("nvlist_pack", listed, *given)
        if number:
            raise OSError(number, os.strerror(number), "nvlist_pack")
        return decoded(data.raw)

    def free(self, listed: ctypes.c_void_p) -> None:
        """Free an nvlist, or NULL."""
        self._free(listed)

    def _call(self, name: str, *arguments: Any) -> int:
        number: int = self._functions[name](*arguments)
        return number


class _Lists:
    """The nvlists of one call, all freed at its end."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._made: list[ctypes.c_void_p] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._made:
            self._library.free(one)

    def given(self, values: List) -> ctypes.c_void_p:
        """Return the values as an nvlist."""
        made = self._library.unpacked(values)
        self._made.append(made)
        return made

    def room(self) -> Any:
        """Return where a call may put an nvlist."""
        self._made.append(_pointer())
        return ctypes.pointer(self._made[-1])

    def taken(self, room: Any) -> dict[str, Any]:
        """Return what the call has put there; nothing is an empty list."""
        listed = room.contents
        return self._library.packed(listed) if listed else {}


def _loaded() -> ctypes.CDLL:
    for name in _SONAMES:
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            failure = error
    raise OSError(errno.ENOENT, str(failure), "libzfs_core")


def _function(core: ctypes.CDLL, name: str, argtypes: tuple[Any, ...]) -> Any:
    try:
        function = core[name]
    except AttributeError as error:
        raise OSError(errno.ENOSYS, f"libzfs_core has no {name}", "libzfs_core") from error
    function.argtypes = argtypes
    function.restype = _int
    return function
