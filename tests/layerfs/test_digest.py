from __future__ import annotations

import hashlib

import pytest

from layerfs import digest
from layerfs.errors import ValidationError

SHA256 = "sha256:" + "0123456789abcdef" * 4
SHA512 = "sha512:" + "0123456789abcdef" * 8


@pytest.mark.parametrize("text", [SHA256, SHA512])
def test_a_well_formed_digest_is_returned_unchanged(text):
    assert digest.parse(text) == text
    assert digest.algorithm(text) + ":" + digest.hexpart(text) == text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no ':'"),
        ("sha256", "no ':'"),
        ("0123456789abcdef" * 4, "no ':'"),
        ("sha256:", "found 0"),
        (SHA256[:-1], "found 63"),
        (SHA256 + "0", "found 65"),
        (SHA512[:-1], "found 127"),
        ("sha512:" + "0" * 64, "found 64"),
        (SHA256.upper(), "unknown algorithm"),
        ("sha256:" + "A" * 64, "lower case"),
        ("sha256:" + "g" * 64, "lower case"),
        (SHA256[:-1] + "\n", "lower case"),
        (SHA256 + "\n", "found 65"),
        (" " + SHA256, "unknown algorithm"),
        # Digits to str.isdigit, but not hex digits.
        ("sha256:" + "\u0661" * 64, "lower case"),
        ("md5:" + "0" * 32, "unknown algorithm"),
        ("sha256:../" + "0" * 61, "lower case"),
        ("x" * 5000 + ":", "unknown algorithm"),
    ],
)
def test_a_malformed_digest_is_refused_with_its_fault(text, fault):
    for check in (digest.parse, digest.algorithm, digest.hexpart):
        with pytest.raises(ValidationError) as caught:
            check(text)
        assert fault in caught.value.message
        assert "\n" not in caught.value.message
        assert len(caught.value.message) < 500


@pytest.mark.parametrize("value", [None, 1, b"sha256:" + b"0" * 64, ["sha256"]])
def test_only_a_string_can_be_a_digest(value):
    with pytest.raises(ValidationError, match="must be a string"):
        digest.parse(value)


@pytest.mark.parametrize("name", ["sha256", "sha512"])
def test_of_equals_hashlib_of_the_same_bytes(name):
    assert digest.of(b"layer", name) == f"{name}:{hashlib.new(name, b'layer').hexdigest()}"


def test_a_hasher_of_an_unknown_algorithm_is_refused():
    with pytest.raises(ValidationError, match="unknown digest algorithm 'md5'"):
        digest.new_hasher("md5")


def test_the_chain_id_of_one_layer_is_its_diff_id():
    assert digest.chain_ids([SHA256]) == [SHA256]


def test_chain_ids_follow_the_image_specs_recursion():
    """image-spec config.md: ChainID(A|B|C) = Digest(ChainID(A|B) + " " + DiffID(C))."""
    a, b, c = (digest.of(letter) for letter in (b"a", b"b", b"c"))
    ab = "sha256:" + hashlib.sha256(f"{a} {b}".encode()).hexdigest()
    abc = "sha256:" + hashlib.sha256(f"{ab} {c}".encode()).hexdigest()
    assert digest.chain_ids([a, b, c]) == [a, ab, abc]
    assert digest.chain_ids(iter([b, a]))[-1] != ab


def test_no_layers_make_no_stack():
    assert digest.chain_ids([]) == []


def test_chain_ids_of_malformed_diff_ids_are_refused():
    with pytest.raises(ValidationError, match="malformed digest"):
        digest.chain_ids([SHA256, "nonsense"])


def test_each_chain_id_is_computed_once(monkeypatch):
    """A stack of 500 layers has 500 chainIDs, not 125,000."""
    hashed = []
    real = digest.of
    monkeypatch.setattr(digest, "of", lambda data: hashed.append(data) or real(data))
    assert len(set(digest.chain_ids([SHA256] * 500))) == 500
    assert len(hashed) == 499
