"""Name-value lists: their bytes, and whether libnvpair, where it is, reads and writes the same."""

import ctypes

import pytest

from layerfs.zfs.nvlist import Int32, Int64, decoded, encoded

VALUES = {
    "string": "text",
    "empty": "",
    "ümlaut": "é \udcff",
    "long": "y" * 5001,
    "biggest": 2**64 - 1,
    "zero": 0,
    "int32": Int32(-5),
    "int64": Int64(-(2**63)),
    "yes": True,
    "no": False,
    "alone": None,
    "strings": ["a", "", "ccc"],
    "no strings": [],
    "list": {"inner": {"deep": 1, "name": None}, "text": "x"},
    "empty list": {},
}


def test_all_types_come_back():
    back = decoded(encoded(VALUES))
    assert back == VALUES
    assert list(back) == list(VALUES)
    assert back["yes"] is True
    assert back["no"] is False


def test_a_tuple_is_a_list_of_strings():
    assert decoded(encoded({"argv": ("a", "b")})) == {"argv": ["a", "b"]}


def test_the_bytes_are_those_of_libnvpair():
    """Header, version and flags; sizes, name, type and count of the pair; its value; the end."""
    assert encoded({"ab": 7}).hex(" ", 4) == (
        "01010000 00000000 00000001 00000020 00000020 00000002 61620000 00000008 00000001 "
        "00000000 00000007 00000000 00000000"
    )


@pytest.mark.parametrize("value", [1.5, b"raw", ["a", 1], object(), "a\0b", {"x": {1, 2}}])
def test_what_has_no_type_is_refused(value):
    with pytest.raises(TypeError):
        encoded({"name": value})


def test_a_list_that_is_not_whole_is_refused():
    whole = encoded(VALUES)
    assert decoded(whole + b"trailing") == VALUES
    for end in range(len(whole)):
        with pytest.raises(ValueError, match="nvlist"):
            decoded(whole[:end])


def test_a_pair_of_another_type_is_refused():
    data = bytearray(encoded({"ab": 7}))
    data[31] = 27  # DATA_TYPE_DOUBLE
    with pytest.raises(ValueError, match="of type 27"):
        decoded(bytes(data))


def test_another_encoding_is_refused():
    with pytest.raises(ValueError, match="not XDR"):
        decoded(b"\0" + encoded({})[1:])


@pytest.fixture
def libnvpair():
    for name in ("libnvpair.so.3", "libnvpair.so.1"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.nvlist_free.argtypes = (ctypes.c_void_p,)
        return library
    pytest.skip("no libnvpair on this machine")


def test_libnvpair_reads_and_writes_the_same(libnvpair):
    data = encoded(VALUES)
    made = ctypes.c_void_p()
    assert libnvpair.nvlist_unpack(data, ctypes.c_size_t(len(data)), ctypes.byref(made), 0) == 0
    size = ctypes.c_size_t()
    assert libnvpair.nvlist_size(made, ctypes.byref(size), 1) == 0
    room = ctypes.create_string_buffer(size.value)
    at = ctypes.c_void_p(ctypes.addressof(room))
    assert libnvpair.nvlist_pack(made, ctypes.byref(at), ctypes.byref(size), 1, 0) == 0
    libnvpair.nvlist_free(made)
    assert room.raw[4:] == data[4:]
