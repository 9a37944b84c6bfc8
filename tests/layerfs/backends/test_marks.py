import pytest

from layerfs.backends import marks
from layerfs.backends.marks import Marks
from layerfs.errors import StorageError

SOME = Marks(frozenset({b".", b"d/\xff\n"}), frozenset({b"w"}), opaque_root=True)


def test_what_is_saved_is_read_again(tmp_path):
    for one in (Marks(), SOME):
        marks.save(tmp_path, one)
        assert marks.load(str(tmp_path), "sha256:x") == one


def test_large_ones_are_read_whole(tmp_path):
    many = Marks(frozenset(b"directory/%d" % number for number in range(20_000)))
    marks.save(tmp_path, many)
    assert marks.load(str(tmp_path), "sha256:x") == many


def test_equal_marks_are_equal_bytes():
    assert SOME.encode() == Marks(SOME.implicit, SOME.whiteouts, SOME.opaque_root).encode()


def test_missing_marks_name_the_layer_and_the_remedy(tmp_path):
    with pytest.raises(StorageError, match=r"sha256:x is missing: `layerfs repair`") as caught:
        marks.load(str(tmp_path), "sha256:x")
    assert caught.value.digest == "sha256:x"


def test_every_damaged_bit_is_noticed(tmp_path):
    good = SOME.encode()
    for at in range(len(good) - 1):
        (tmp_path / marks.NAME).write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(StorageError, match="is damaged"):
            marks.load(str(tmp_path), "sha256:x")
    for length in range(len(good) - 1):
        (tmp_path / marks.NAME).write_bytes(good[:length])
        with pytest.raises(StorageError, match="is damaged"):
            marks.load(str(tmp_path), "sha256:x")
