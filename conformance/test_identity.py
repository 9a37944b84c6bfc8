"""Identity and content: a layer is its digest, and nothing is taken on trust."""

import os

import pytest

from conformance import model
from conformance.clauses import MUST, SHOULD, clause
from conformance.layers import Dir, File, Layer

CONTENT = bytes(range(256)) * 1024
PLAIN = Layer(Dir("d"), File("d/f", CONTENT), File("empty", b""))
UNKNOWN = "sha256:" + "0" * 64
DIGESTS = "image-spec descriptor.md, Digests"


@clause("IDN-001", MUST, "image-spec config.md, Layer DiffID; layer.md, +gzip Media Types")
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_layer_is_named_by_its_blob_and_its_diff_id_by_its_tar(subject, compression):
    """The digest is that of the blob as added, the diffID that of the uncompressed tar."""
    layer = PLAIN.compressed(compression)

    assert subject.add(layer, digest=layer.digest, size=layer.size, diff_id=layer.diff_id)
    assert subject.tree(layer) == model.apply(layer)


@clause("IDN-002", MUST, "image-spec layer.md, +zstd Media Types", needs=("zstd",))
@pytest.mark.parametrize("frames", [1, 3])
def test_a_zstd_blob_is_a_layer(subject, frames):
    """A blob compressed with zstd is the tar that all of its frames give."""
    layer = PLAIN.in_parts("zstd", frames)

    assert subject.tree(layer) == model.apply(layer)


@clause("IDN-003", MUST, "RFC 1952, 2.2: a gzip file consists of a series of members")
@pytest.mark.parametrize("members", [2, 5])
def test_several_gzip_members_are_one_stream(subject, members):
    """A gzip blob is the concatenation of all of its members."""
    layer = PLAIN.in_parts("gzip", members)

    assert subject.tree(layer) == model.apply(layer)


@clause("IDN-004", MUST, f"{DIGESTS}: content must be verified against the digest")
@pytest.mark.parametrize("wrong", ["digest", "size", "diff_id"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_blob_that_is_not_what_was_declared_is_refused(subject, wrong, compression):
    """A blob whose digest, size or diffID is not the declared one is refused, and not kept."""
    layer = PLAIN.compressed(compression)
    declared = {"digest": layer.digest, "size": layer.size, "diff_id": layer.diff_id}
    declared[wrong] = layer.size + 1 if wrong == "size" else UNKNOWN

    with subject.refuses("digest-mismatch"):
        subject.add(layer, **declared)
    assert subject.digests() == set()


@clause("IDN-005", MUST, f"{DIGESTS}; PROTOCOL.md, add")
@pytest.mark.parametrize("damage", ["one byte less", "one byte more", "one bit flipped"])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_damaged_blob_is_told_by_its_digest_first(subject, damage, compression):
    """A blob that was damaged on its way is a digest mismatch, whatever else is wrong with it."""
    layer = PLAIN.compressed(compression)
    blob = layer.blob()
    middle = len(blob) // 2
    damaged = {
        "one byte less": blob[:-1],
        "one byte more": blob + b"\0",
        "one bit flipped": blob[:middle] + bytes([blob[middle] ^ 1]) + blob[middle + 1 :],
    }[damage]

    with subject.refuses("digest-mismatch"):
        path = subject.put(damaged)
        subject.call("add", path=path, media_type=layer.media_type, digest=layer.digest)
    assert subject.digests() == set()


@clause("IDN-006", MUST, "image-spec descriptor.md, Registered Algorithms", needs=("sha512",))
def test_a_sha512_digest_is_verified_and_names_the_layer(subject):
    """A layer that was declared with a sha512 digest is verified against it, and named by it."""
    digest = PLAIN.sha512
    with subject.refuses("digest-mismatch"):
        subject.add(PLAIN, digest=digest[:-1] + ("0" if digest[-1] != "0" else "1"))

    assert subject.add(PLAIN, digest=digest) == digest
    assert subject.tree(digest) == model.apply(PLAIN)


MALFORMED = {
    "empty": "",
    "no algorithm": "0" * 64,
    "upper case": "sha256:" + "A" * 64,
    "short": "sha256:" + "0" * 63,
    "long": "sha256:" + "0" * 65,
    "unknown algorithm": "md5:" + "0" * 32,
    "a path": "sha256:../../../../etc/passwd",
    "a newline at the end": "sha256:" + "0" * 64 + "\n",
    "other digits": "sha256:" + "\N{ARABIC-INDIC DIGIT ZERO}" * 64,
}


@clause("IDN-007", MUST, f"{DIGESTS}: the grammar; PROTOCOL.md, validation-error")
@pytest.mark.parametrize("digest", MALFORMED.values(), ids=[*MALFORMED])
def test_a_malformed_digest_is_refused_everywhere(subject, digest):
    """A digest that the grammar does not allow is a validation error, and never looked up."""
    with subject.refuses("validation-error"):
        subject.call("get", digest=digest)
    with subject.refuses("validation-error"):
        subject.call("remove", digest=digest)
    with subject.refuses("validation-error"):
        subject.add(PLAIN, digest=digest)
    with subject.refuses("validation-error"):
        subject.stack(PLAIN, digest)


@clause("IDN-008", MUST, "PROTOCOL.md, layer-not-found")
def test_an_unknown_digest_is_not_found(subject):
    """A well-formed digest that is not in the store is layer-not-found, and nothing else."""
    with subject.refuses("layer-not-found"):
        subject.call("get", digest=UNKNOWN)
    with subject.refuses("layer-not-found") as refused:
        subject.stack(PLAIN, UNKNOWN)
    assert refused.error.digest in {UNKNOWN, None}


@clause("IDN-009", MUST, "PROTOCOL.md, add; reported as containerd#1041, containerd#2331")
def test_a_layer_added_twice_is_one_layer(subject):
    """Adding a layer that is there succeeds with the same answer, and leaves one layer."""
    first = subject.add(PLAIN)
    second = subject.add(PLAIN)

    assert first == second
    assert subject.digests() == {PLAIN.digest}
    assert subject.tree(PLAIN) == model.apply(PLAIN)


@clause("IDN-010", MUST, "PROTOCOL.md, 3: two compressions of one tar are two layers")
def test_two_compressions_of_one_tar_are_two_layers(subject):
    """Two blobs of one diffID are two layers; when one is removed, the other is still whole."""
    gzipped = PLAIN.compressed("gzip")
    subject.add(PLAIN)
    subject.add(gzipped)
    assert subject.digests() == {PLAIN.digest, gzipped.digest}

    subject.call("remove", digest=PLAIN.digest)
    assert subject.digests() == {gzipped.digest}
    assert subject.tree(gzipped.digest) == model.apply(PLAIN)


@clause("IDN-011", MUST, "PROTOCOL.md, add; reported as containerd#3787", needs=("concurrent",))
def test_eight_processes_add_one_layer_at_once(subject):
    """Eight processes that add the same layer at once all succeed, and leave one whole layer."""
    path = subject.put(PLAIN.blob())
    adding = [subject.begin("add", path=path) for _ in range(8)]
    answers = [pending.result().layer for pending in adding]

    assert {answer.digest for answer in answers} == {PLAIN.digest}
    assert subject.digests() == {PLAIN.digest}
    assert subject.tree(PLAIN.digest) == model.apply(PLAIN)


@clause("IDN-012", MUST, "PROTOCOL.md, concurrent", needs=("concurrent",))
def test_layers_can_be_used_while_others_are_added(subject):
    """Stacking a layer works, and shows it whole, while other processes add layers."""
    subject.add(PLAIN)
    # Long enough to be at it at the same time, on the fastest of machines.
    content = [os.urandom(1 << 20) * 16 for _ in range(4)]
    others = [Layer(File(f"f{n}", one), compression="gzip") for n, one in enumerate(content)]
    paths = [subject.put(layer.blob()) for layer in others]
    adding = [
        subject.begin("add", path=path, media_type=layer.media_type)
        for path, layer in zip(paths, others, strict=True)
    ]

    for _ in range(4):
        assert subject.tree(PLAIN) == model.apply(PLAIN)
    assert [pending.result().layer.digest for pending in adding] == [o.digest for o in others]
    assert subject.tree(*[layer.digest for layer in others]) == model.apply(*others)


@clause("IDN-013", MUST, "PROTOCOL.md, path-error")
@pytest.mark.parametrize("what", ["missing", "a directory"])
def test_a_blob_that_is_no_file_is_a_path_error(subject, host, what):
    """A blob whose path is missing or a directory is refused as a path error."""
    path = subject.path("blob")
    if what == "a directory":
        host.mkdir(path)

    with subject.refuses("path-error"):
        subject.call("add", path=path)
    assert subject.digests() == set()


@clause("IDN-014", MUST, "PROTOCOL.md, decompression-error and validation-error")
@pytest.mark.parametrize(
    ("blob", "media_type", "code"),
    [
        (PLAIN.blob(), "application/vnd.oci.image.layer.v1.tar+gzip", "decompression-error"),
        (
            PLAIN.compressed("gzip").blob(),
            "application/vnd.oci.image.layer.v1.tar",
            "validation-error",
        ),
        (b"", "application/vnd.oci.image.layer.v1.tar+gzip", "decompression-error"),
        (PLAIN.blob(), "text/plain", "validation-error"),
        (PLAIN.blob(), "", "validation-error"),
    ],
    ids=["tar as gzip", "gzip as tar", "nothing as gzip", "text", "no media type"],
)
def test_a_blob_must_be_of_its_media_type(subject, blob, media_type, code):
    """A blob that is not of its media type, or of a media type for no layer, is refused."""
    with subject.refuses(code):
        subject.call("add", path=subject.put(blob), media_type=media_type)
    assert subject.digests() == set()


@clause("IDN-015", MUST, "image-spec layer.md, Non-Distributable Layers; media-types.md")
@pytest.mark.parametrize(
    ("media_type", "compression"),
    [
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", "none"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "gzip"),
        ("application/vnd.docker.image.rootfs.diff.tar", "none"),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip"),
    ],
)
def test_each_media_type_of_a_layer_is_taken(subject, media_type, compression):
    """Non-distributable layers, and those of Docker's types, are layers; the type is kept."""
    layer = PLAIN.compressed(compression)
    digest = subject.add(layer, media_type=media_type)

    assert subject.call("get", digest=digest).layer.media_type == media_type
    assert subject.tree(layer) == model.apply(layer)


@clause("IDN-016", MUST, "RFC 1952, 2.3; PROTOCOL.md, decompression-error")
@pytest.mark.parametrize(
    "damage", ["header only", "half", "no trailer", "half a trailer", "checksum", "garbage after"]
)
def test_a_gzip_stream_must_be_whole(subject, damage):
    """A gzip blob that is cut off, fails its checksum, or has more after its end is refused."""
    blob = PLAIN.compressed("gzip").blob()
    damaged = {
        "header only": blob[:10],
        "half": blob[: len(blob) // 2],
        "no trailer": blob[:-8],
        "half a trailer": blob[:-4],
        "checksum": blob[:-8] + bytes([blob[-8] ^ 1]) + blob[-7:],
        "garbage after": blob + b"garbage",
    }[damage]

    with subject.refuses("decompression-error"):
        subject.call(
            "add", path=subject.put(damaged), media_type=PLAIN.compressed("gzip").media_type
        )
    assert subject.digests() == set()


@clause("IDN-017", MUST, "RFC 8878, 3.1; PROTOCOL.md, decompression-error", needs=("zstd",))
@pytest.mark.parametrize("damage", ["half", "no checksum", "checksum", "garbage after"])
def test_a_zstd_stream_must_be_whole(subject, damage):
    """A zstd blob that is cut off, fails its checksum, or has more after its end is refused."""
    layer = PLAIN.compressed("zstd")
    blob = layer.blob()
    damaged = {
        "half": blob[: len(blob) // 2],
        "no checksum": blob[:-4],
        "checksum": blob[:-1] + bytes([blob[-1] ^ 1]),
        "garbage after": blob + b"garbage",
    }[damage]

    with subject.refuses("decompression-error"):
        subject.call("add", path=subject.put(damaged), media_type=layer.media_type)
    assert subject.digests() == set()


@clause("IDN-018", MUST, "PROTOCOL.md, 2: a later open finds all layers again")
def test_layers_are_there_after_the_store_was_closed(subject):
    """What add, get and list said of a layer, they say again after close and open."""
    gzipped = PLAIN.compressed("gzip")
    before = {subject.add(layer) for layer in (PLAIN, gzipped, Layer(File("x")))}
    told = {digest: subject.call("get", digest=digest).layer for digest in before}
    subject.call("close")
    subject.restart()
    subject.open()

    listed = subject.call("list").layers
    assert {layer.digest: layer for layer in listed} == told
    assert subject.tree(gzipped) == model.apply(PLAIN)


@clause("IDN-019", MUST, "PROTOCOL.md, add: reads the file once and keeps no reference to it")
def test_a_layer_does_not_depend_on_the_file_it_came_from(subject, host):
    """When the blob's file is changed or removed after add, the layer is as it was."""
    path = subject.put(PLAIN.blob())
    digest = subject.call("add", path=path).layer.digest
    assert host.read(path) == PLAIN.blob()

    host.write(path, b"something else")
    assert subject.tree(digest) == model.apply(PLAIN)
    host.remove(path)
    assert subject.tree(digest) == model.apply(PLAIN)


@clause("IDN-020", SHOULD, "PROTOCOL.md, 3: at any size of content")
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_content_of_every_length_around_a_block_is_whole(subject, compression):
    """Files whose lengths lie around the sizes of blocks and buffers have all of their bytes."""
    sizes = [0, 1, 511, 512, 513, 4095, 4096, 4097, 65535, 65537, 131072, 1048575, 1048577, 3000001]
    files = [File(f"f{size}", os.urandom(size)) for size in sizes]
    layer = Layer(*files, compression=compression)

    assert subject.tree(layer) == model.apply(layer)
