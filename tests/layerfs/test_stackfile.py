import io
import json
import random
import tarfile

import pytest

from layerfs import digest as digests
from layerfs.errors import (
    DigestMismatchError,
    LimitExceededError,
    StorageError,
    ValidationError,
)
from layerfs.records import Layer
from layerfs.stackfile import (
    MAX_MANIFEST,
    PART,
    Manifest,
    StackReader,
    StackWriter,
    blob_name,
    chain_name,
)

from .recipes import PLAIN, sha256

DATA = random.Random(1).randbytes(2 * PART + 77)


def layer(n, **more):
    return Layer(sha256(b"blob %d" % n), sha256(b"tar %d" % n), n, PLAIN, **more)


ONE, TWO = layer(1, annotations={"k": "ü"}), layer(2, dependencies=(layer(1).digest,))
MANIFEST = Manifest((ONE, TWO), ("1", str(2**64 - 1)), 1, 1)


def whole(contents=(("blobs/a", DATA), ("chains/b", b""), ("chains/c", b"x"))):
    out = io.BytesIO()
    file = StackWriter(out)
    file.manifest(MANIFEST)
    for name, data in contents:
        file.content(name, io.BytesIO(data).read)
    file.close()
    return out.getvalue()


def read(data):
    file = StackReader(io.BytesIO(data))
    manifest = file.manifest()
    contents = [b"".join(iter(file.content(name).read, b"")) for name in NAMES]
    file.finish()
    return manifest, contents


NAMES = ("blobs/a", "chains/b", "chains/c")
WHOLE = whole()


def test_what_was_written_is_read():
    assert read(WHOLE) == (MANIFEST, [DATA, b"", b"x"])


def test_it_is_a_tar_of_small_members_in_their_order():
    with tarfile.open(fileobj=io.BytesIO(WHOLE), mode="r|") as archive:
        members = [(one.name, one.size) for one in archive]
    assert [name for name, _ in members][:6] == [
        "manifest.json.0", "manifest.json.sha256", "blobs/a.0", "blobs/a.1", "blobs/a.2",
        "blobs/a.sha256",
    ]  # fmt: skip
    assert max(size for _, size in members) <= PART


def test_a_content_is_given_in_the_pieces_that_are_asked_for():
    file = StackReader(io.BytesIO(WHOLE))
    file.manifest()
    content = file.content("blobs/a")
    assert content.read(10) == DATA[:10]
    assert 0 < len(content.read(100)) <= 100
    content.skip()
    assert content.read() == b""


def test_progress_is_told_on_both_sides():
    told = []
    StackWriter(io.BytesIO(), lambda *done: told.append(done)).manifest(MANIFEST)
    assert told[-1] == (len(MANIFEST.encoded()) + 65, None)
    file = StackReader(io.BytesIO(WHOLE), lambda *done: told.append(done))
    file.manifest()
    assert told[-1] == (PART, None)


def test_the_end_of_a_pipe_can_be_waited_for():
    assert not hasattr(StackReader(io.BytesIO()).content("x"), "name")
    with pytest.raises(io.UnsupportedOperation):
        StackReader(io.BytesIO()).content("x").fileno()


@pytest.mark.parametrize("share", range(0, 100, 7))
def test_a_part_of_a_file_is_no_file(share):
    # What ends the archive is 1024 zeros, which nobody would miss.
    with pytest.raises(ValidationError):
        read(WHOLE[: (len(WHOLE) - 1024) * share // 100])


def test_a_changed_byte_is_found_wherever_it_means_something():
    rng = random.Random(2)
    padding = harmless = 0
    for _ in range(300):
        at = rng.randrange(len(WHOLE))
        changed = WHOLE[:at] + bytes([WHOLE[at] ^ 1 << rng.randrange(8)]) + WHOLE[at + 1 :]
        try:
            harmless += read(changed) == (MANIFEST, [DATA, b"", b"x"])
        except (ValidationError, DigestMismatchError):
            continue
        padding += WHOLE[at] == 0
    assert harmless == padding < 10


@pytest.mark.parametrize(
    ("contents", "what"),
    [
        ([("blobs/a", DATA), ("chains/c", b"x"), ("chains/b", b"")], "chains/c.0' where chains/b"),
        ([("blobs/a", DATA), ("chains/b", b"")], "cut short: it ends before chains/c.0"),
        ([("blobs/a", DATA), ("chains/b", b""), ("chains/c", b"x"), ("d", b"")], "behind its end"),
        ([("../blobs/a", DATA)], "no stack sent by layerfs"),
    ],
    ids=["reordered", "missing", "too many", "hostile"],
)
def test_contents_have_their_order(contents, what):
    with pytest.raises(ValidationError, match=what):
        read(whole(contents))


def members(*files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files:
            one = tarfile.TarInfo(name)
            one.size = len(data)
            archive.addfile(one, io.BytesIO(data))
    return StackReader(io.BytesIO(out.getvalue()))


def test_a_part_that_is_changed_or_too_long_is_refused():
    end = sha256(b"ab")[7:].encode() + b"\n"
    content = members(("x.0", b"a"), ("x.1", b"b"), ("x.sha256", end)).content("x")
    assert (content.read(), content.read(), content.read()) == (b"a", b"b", b"")
    with pytest.raises(DigestMismatchError, match="its digest is another"):
        members(("x.0", b"a"), ("x.sha256", end)).content("x").skip()
    with pytest.raises(ValidationError, match=r"x.1' where x.0"):
        members(("x.1", b"b")).content("x").read()
    with pytest.raises(ValidationError, match="may have 1048576"):
        members(("x.0", bytes(PART + 1))).content("x").read()


def test_what_is_no_archive_is_told():
    for data in (b"", b"x" * 2000, b"\x1f\x8b\x08" + bytes(2000)):
        with pytest.raises(ValidationError):
            read(data)


def test_a_source_that_fails_is_told_as_that():
    class Failing(io.RawIOBase):
        def read(self, _n):
            raise OSError(5, "Input/output error")

    class Hasty(io.RawIOBase):
        def read(self, _n):
            return None

    for source in (Failing(), Hasty()):
        with pytest.raises(StorageError, match="reading the stack"):
            StackReader(source).manifest()


# --- the manifest


def test_of_layers_with_one_diff_id_the_upper_place_counts():
    other = ONE._replace(digest=sha256(b"other"))
    manifest = Manifest((ONE, TWO, other), ("1", "2"))
    assert manifest.diff_ids == [TWO.diff_id, ONE.diff_id]
    assert Manifest.decoded(manifest.encoded()) == manifest


def changed(**fields):
    document = json.loads(MANIFEST.encoded())
    document.update(fields)
    return json.dumps(document).encode()


SHA512 = "sha512:" + "ab" * 64


def chain(n, **fields):
    return {"chain_id": digests.chain_ids(MANIFEST.diff_ids)[n], "guid": "1", **fields}


def described(**fields):
    return {**json.loads(MANIFEST.encoded())["layers"][0], **fields}


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"format": NaN}', "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[]", "not that of a stack"),
        (changed(format="other"), "not that of a stack"),
        (changed(version=2), "sent in version 2 .* reads version 1"),
        (changed(version="1" * 999), "sent in version"),
        (changed(more=1), "unknown field 'more'"),
        (changed(layers=[]), "there is no layer"),
        (changed(layers={}), "must be a list"),
        (changed(layers=[1]), "must be an object"),
        (changed(layers=[described(digest="sha256:../../x")]), "malformed digest"),
        (changed(layers=[described(dependencies=["x"])]), "malformed digest"),
        (changed(layers=[described(size=-1)]), "must not be negative"),
        (changed(layers=[described(annotations={"a": 1})]), "must have strings alone"),
        (changed(layers=[described(), described()]), "a layer is there twice"),
        (changed(layers=[described(diff_id=SHA512)], chains=[chain(0, chain_id=SHA512)]), "sha256"),
        (changed(chains=[chain(0)]), "the chains are not those of the layers"),
        (changed(chains=[chain(1), chain(0)]), "the chains are not those of the layers"),
        (changed(chains=[chain(0, guid="x"), chain(1)]), "a guid is no number"),
        (changed(chains=[chain(0, guid="²"), chain(1)]), "a guid is no number"),
        (changed(known={"layers": 3, "chains": 0}), "more is known than there is"),
        (changed(known={"layers": 0, "chains": 3}), "more is known than there is"),
        (changed(known={"layers": 0}), "is missing"),
    ],
)
def test_a_malformed_manifest_is_refused(data, what):
    with pytest.raises(ValidationError, match=what):
        Manifest.decoded(data)


def test_a_manifest_that_is_too_long_is_neither_written_nor_read():
    much = Manifest((layer(1, annotations={"k": "x" * MAX_MANIFEST}),), ("1",))
    with pytest.raises(LimitExceededError) as caught:
        much.encoded()
    assert caught.value.limit == f"max_manifest_bytes={MAX_MANIFEST}"
    out = io.BytesIO()
    file = StackWriter(out)
    file.content("manifest.json", io.BytesIO(b" " * (MAX_MANIFEST + 1)).read)
    file.close()
    with pytest.raises(ValidationError, match="has more than"):
        StackReader(io.BytesIO(out.getvalue())).manifest()


def test_names_are_made_of_digests():
    digest = "sha512:" + "ab" * 64
    assert blob_name(digest) == "blobs/" + "ab" * 64
    assert chain_name(ONE.digest) == f"chains/{ONE.digest[7:]}"
