import gzip
import os

import pytest

from layerfs.errors import LayerNotFoundError, PathError, ValidationError
from layerfs.openstores import stores
from layerfs.shorthand import Store, absolute, guessed_media_type

from .recipes import GZIP, PLAIN, ZSTD, tar


class Layers:
    """A store that holds layers of these digests, and images."""

    def __init__(self, *digests, **images):
        self.digests = digests
        self._images = images

    def images(self):
        return [
            type("Image", (), {"reference": name, "digests": digests})
            for name, digests in self._images.items()
        ]

    def get(self, _root):
        return self

    def digests_beginning(self, text):
        return [digest for digest in self.digests if digest.startswith(text)]


A = "sha256:" + "abcdef0" + "0" * 57
B = "sha256:" + "abcdef1" + "0" * 57
LONG = "sha512:" + "abcdef2" + "0" * 121


def digest(text, *digests):
    return Store(Layers(*digests), "/store").digest(text)


@pytest.mark.parametrize("text", ["abcdef0", "sha256:abcdef0", A, A[7:]])
def test_a_beginning_that_only_one_layer_has_names_it(text):
    assert digest(text, A, B, LONG) == A


def test_the_algorithm_counts_where_it_is_given():
    assert digest("sha512:abcdef", A, B, LONG) == LONG
    assert digest("sha512:abcdef2", A, LONG) == LONG


def test_a_beginning_of_several_layers_is_refused_with_two_of_them():
    with pytest.raises(ValidationError, match="2 layers begin with abcdef") as caught:
        digest("abcdef", A, B)
    assert A in caught.value.message
    assert B in caught.value.message


@pytest.mark.parametrize("text", ["", "a", "abcde", "sha256:", "sha256:abcde"])
def test_fewer_than_six_digits_are_refused(text):
    with pytest.raises(ValidationError, match="at least 6"):
        digest(text, A)


def test_a_beginning_of_no_layer_is_not_found():
    with pytest.raises(LayerNotFoundError, match="begins with ffffff"):
        digest("ffffff", A)


@pytest.mark.parametrize("text", ["sha256:" + "0" * 64, "ABCDEF0", "md5:abcdef", "a:b", "zzzzzzz"])
def test_whole_digests_and_nonsense_are_left_to_the_store(text):
    assert digest(text, A) == text


def test_an_images_name_stands_for_its_layers():
    store = Store(Layers(A, B, LONG, latest=(A, B), abcdef2=(A,), none=()), "/store")
    assert store.digests(["latest", "abcdef2"]) == [A, B, LONG]
    with pytest.raises(ValidationError, match="at least 6"):
        store.digests(["abc"])
    assert store.digests(["unknown-name"]) == ["unknown-name"]


def test_the_store_is_asked_only_for_beginnings(tmp_path):
    with stores() as opened:
        assert Store(opened, str(tmp_path / "none")).digests([A]) == [A]


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (gzip.compress(b""), GZIP),
        (b"\x28\xb5\x2f\xfd", ZSTD),
        (b"\x5a\x2a\x4d\x18", ZSTD),
        (tar({"f": b""}), PLAIN),
        (b"", PLAIN),
        (b"\x1f", PLAIN),
    ],
)
def test_the_first_bytes_tell_the_compression(tmp_path, first, expected):
    (tmp_path / "blob").write_bytes(first)
    assert guessed_media_type(str(tmp_path / "blob")) == expected


def test_what_cannot_be_read_is_left_to_the_store(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in ("none", "fifo", ".", "nul\0"):
        assert guessed_media_type(f"{tmp_path}/{path}") == PLAIN


def test_paths_are_made_absolute_and_not_tidied(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute("a/../b") == f"{tmp_path}/a/../b"
    assert absolute("/a/../b") == "/a/../b"
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(PathError, match="working directory"):
        absolute("a")
