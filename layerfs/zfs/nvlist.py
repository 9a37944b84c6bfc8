"""Name-value lists to bytes and back, for the types that libzfs_core's calls have. No C is called.

The bytes are the XDR encoding of libnvpair (nvpair.c; it is also that of vdev labels): big-endian,
everything padded to four bytes. ``nvlist_pack`` and ``nvlist_unpack`` of the library do the rest,
so that a list costs two foreign calls and not five for each of its pairs.

| Python | libnvpair |
|---|---|
| ``str`` | string; surrogate escapes carry bytes that are not UTF-8 |
| ``int`` | uint64 |
| ``Int32``, ``Int64`` | int32, int64; decoded as ``int`` |
| ``bool`` | boolean_value |
| ``None`` | boolean: a name without a value |
| ``dict`` | nvlist |
| ``list`` or ``tuple`` of ``str`` | string_array; decoded as ``list`` |
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

# data_type_t of sys/nvpair.h.
_BOOLEAN: Final = 1
_INT32: Final = 5
_INT64: Final = 7
_UINT64: Final = 8
_STRING: Final = 9
_STRING_ARRAY: Final = 17
_NVLIST: Final = 19
_BOOLEAN_VALUE: Final = 21

#: nvs_header_t: NV_ENCODE_XDR, little-endian host (of no meaning in XDR), reserved.
_HEADER: Final = b"\x01\x01\x00\x00"
#: nvl_version and nvl_nvflag, NV_UNIQUE_NAME.
_LIST_HEADER: Final = struct.pack(">iI", 0, 1)
_LIST_END: Final = bytes(8)
_SIZES: Final = struct.Struct(">ii")
_TYPE: Final = struct.Struct(">ii")
_LENGTH: Final = struct.Struct(">I")
_NUMBERS: Final = {
    _INT32: struct.Struct(">i"),
    _INT64: struct.Struct(">q"),
    _UINT64: struct.Struct(">Q"),
    _BOOLEAN_VALUE: struct.Struct(">i"),
}
# What a decoder allocates for a pair: sizeof (nvpair_t), and of nvlist_t within one.
_PAIR_BYTES: Final = 16
_NVLIST_BYTES: Final = 24
_POINTER_BYTES: Final = 8


class Int32(int):
    """A number to be encoded as int32."""


class Int64(int):
    """A number to be encoded as int64."""


_NUMBER_TYPES: Final = {
    bool: _BOOLEAN_VALUE,
    Int32: _INT32,
    Int64: _INT64,
    int: _UINT64,
}


def encoded(values: Mapping[str, Any]) -> bytes:
    """Return a list for ``nvlist_unpack``. TypeError: a value has none of the types above."""
    return _HEADER + _encoded_list(values)


def decoded(data: bytes) -> dict[str, Any]:
    """Return what ``nvlist_pack`` made with NV_ENCODE_XDR.

    ValueError: another encoding, a type that is not one of those above, or a list cut short.
    """
    if data[:1] != _HEADER[:1]:
        raise ValueError(f"an nvlist whose encoding is not XDR: {data[:4]!r}")
    try:
        return _decoded_list(data, len(_HEADER))[0]
    except (struct.error, IndexError) as error:
        raise ValueError(f"an nvlist that is not whole: {error}") from error


def _encoded_list(values: Mapping[str, Any]) -> bytes:
    pairs = [_encoded_pair(name, value) for name, value in values.items()]
    return b"".join([_LIST_HEADER, *pairs, _LIST_END])


def _encoded_pair(name: str, value: Any) -> bytes:
    kind, elements, data, allocated = _encoded_value(value)
    label = _bytes(name)
    body = _encoded_bytes(label) + _TYPE.pack(kind, elements) + data
    room = _aligned(_PAIR_BYTES + len(label) + 1) + _aligned(allocated)
    return _SIZES.pack(_SIZES.size + len(body), room) + body


def _encoded_value(value: Any) -> tuple[int, int, bytes, int]:
    """Return the type, the number of elements, the encoded bytes, and the size when decoded."""
    if type(value) in _NUMBER_TYPES:
        kind = _NUMBER_TYPES[type(value)]
        data = _NUMBERS[kind].pack(value)
        return kind, 1, data, len(data)
    if value is None:
        return _BOOLEAN, 0, b"", 0
    if isinstance(value, str):
        text = _bytes(value)
        return _STRING, 1, _encoded_bytes(text), len(text) + 1
    if isinstance(value, dict):
        return _NVLIST, 1, _encoded_list(value), _NVLIST_BYTES
    if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value):
        return _encoded_array(value)
    raise TypeError(f"no nvlist type for {value!r}")


def _encoded_array(texts: Sequence[str]) -> tuple[int, int, bytes, int]:
    raw = [_bytes(one) for one in texts]
    size = sum(_POINTER_BYTES + len(one) + 1 for one in raw)
    return _STRING_ARRAY, len(raw), b"".join(map(_encoded_bytes, raw)), size


def _encoded_bytes(raw: bytes) -> bytes:
    return _LENGTH.pack(len(raw)) + raw + bytes(-len(raw) % 4)


def _bytes(text: str) -> bytes:
    raw = text.encode(errors="surrogateescape")
    if b"\0" in raw:
        raise TypeError(f"no NUL in a string of an nvlist: {text!r}")
    return raw


def _aligned(size: int) -> int:
    return size + -size % 8


def _decoded_list(data: bytes, at: int) -> tuple[dict[str, Any], int]:
    values: dict[str, Any] = {}
    at += len(_LIST_HEADER)
    while True:
        size, room = _SIZES.unpack_from(data, at)
        if not size and not room:
            return values, at + _SIZES.size
        name, after = _decoded_text(data, at + _SIZES.size)
        kind, elements = _TYPE.unpack_from(data, after)
        values[name], at = _decoded_value(data, after + _TYPE.size, kind, elements)


def _decoded_value(data: bytes, at: int, kind: int, elements: int) -> tuple[Any, int]:
    if kind in _NUMBERS:
        shape = _NUMBERS[kind]
        (number,) = shape.unpack_from(data, at)
        return bool(number) if kind == _BOOLEAN_VALUE else number, at + shape.size
    if kind == _STRING:
        return _decoded_text(data, at)
    if kind == _NVLIST:
        return _decoded_list(data, at)
    if kind == _BOOLEAN:
        return None, at
    if kind == _STRING_ARRAY:
        texts = []
        for _ in range(elements):
            text, at = _decoded_text(data, at)
            texts.append(text)
        return texts, at
    raise ValueError(f"an nvlist with a pair of type {kind}, which no call of ours has")


def _decoded_text(data: bytes, at: int) -> tuple[str, int]:
    (length,) = _LENGTH.unpack_from(data, at)
    start = at + _LENGTH.size
    raw = data[start : start + length]
    if len(raw) < length:
        raise IndexError("a string runs over its end")
    return raw.decode(errors="surrogateescape"), start + length + -length % 4
