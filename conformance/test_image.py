"""Images: what an image layout says is what is stacked, and what was read is what is written."""

import json

import pytest

from conformance import images, model, tools
from conformance.clauses import MUST, SHOULD, clause
from conformance.images import Image, blob_path, describe, dumped, layout
from conformance.layers import Dir, File, Layer, Whiteout, sha256

LAYOUT = "image-spec image-layout.md"
MANIFEST = "image-spec manifest.md"

A = Layer(Dir("d"), File("d/a"), File("x"))
B = Layer(Dir("d"), File("d/b"), Whiteout("x"), compression="gzip")
C = Layer(Dir("d", mode=0o700), File("c"))
IMAGE = Image((A, B, C))
UNKNOWN = "sha256:" + "0" * 64


def image(id_, level, source, *needs, **more):
    """Return the mark of a clause of this area."""
    return clause(id_, level, source, needs=("import", *needs), **more)


def imported(subject, files, **fields):
    """Import a layout and return the answer's image."""
    return subject.call("import", path=subject.write_layout(files), **fields).image


@image("IMG-001", MUST, f"{MANIFEST}, Image Manifest Property Descriptions: layers")
def test_an_image_has_the_layers_of_its_manifest_in_their_order(subject):
    """An imported image has the manifest's layers, base first, and their stack is its tree."""
    told = imported(subject, layout(IMAGE))

    assert told.manifest == IMAGE.digest
    assert told.digests == (A.digest, B.digest, C.digest)
    assert told.diff_ids == (A.diff_id, B.diff_id, C.diff_id)
    assert subject.digests() == {A.digest, B.digest, C.digest}
    assert subject.tree(*told.digests) == model.apply(A, B, C)


@image("IMG-002", MUST, f"PROTOCOL.md, export; {LAYOUT}", "export")
@pytest.mark.parametrize("by", ["manifest", "reference"])
def test_what_was_imported_is_exported_byte_for_byte(subject, by):
    """Export after import writes the same manifest, configuration and blobs, in a valid layout."""
    told = imported(subject, layout(IMAGE))
    found = subject.export(image=told.manifest if by == "manifest" else "latest", reference="copy")

    assert found.digest == IMAGE.digest
    assert found.config == json.loads(IMAGE.config_bytes())
    assert list(found.blobs) == [A.blob(), B.blob(), C.blob()]


@image("IMG-003", MUST, "image-spec config.md, Properties: rootfs", "export")
def test_layers_can_be_exported_as_an_image(subject):
    """Export of layers writes a valid image of these layers, in their order, with true diffIDs."""
    digests = [subject.add(layer) for layer in (A, B, C)]
    found = subject.export(digests=digests, reference="v1")

    assert found.digests == digests
    assert found.diff_ids == [A.diff_id, B.diff_id, C.diff_id]
    assert (found.config["rootfs"]["type"], found.manifest["schemaVersion"]) == ("layers", 2)
    assert {"architecture", "os"} <= set(found.config)
    assert model.apply(*found.layers()) == model.apply(A, B, C)


@image("IMG-004", MUST, f"{LAYOUT}, index.json file: org.opencontainers.image.ref.name")
def test_an_image_is_found_by_its_reference(subject):
    """Of several images in a layout, the reference names one; none or an unknown one is refused."""
    files = layout(Image((A,), reference="one"), Image((A, B), reference="two"))
    assert imported(subject, files, reference="two").digests == (A.digest, B.digest)
    assert imported(subject, files, reference="one").digests == (A.digest,)

    with subject.refuses("validation-error"):
        imported(subject, files)
    with subject.refuses("validation-error"):
        imported(subject, files, reference="three")


@image("IMG-005", MUST, "PROTOCOL.md, import; image-spec image-layout.md: content is shared")
def test_images_share_their_layers(subject):
    """A layer of two images is one layer; importing an image twice changes nothing."""
    subject.add(A)
    files = layout(Image((A, B), reference="one"), Image((A, C), reference="two"))
    first = imported(subject, files, reference="one")
    imported(subject, files, reference="two")

    assert imported(subject, files, reference="one") == first
    assert subject.digests() == {A.digest, B.digest, C.digest}


def without(path):
    """Return the image's layout without one file."""
    return {name: data for name, data in layout(IMAGE).items() if name != path}


def with_index(**changes):
    """Return the image's layout with another descriptor of the manifest."""
    entry = {**IMAGE.described(), **changes}
    return layout(IMAGE) | {"index.json": dumped({"schemaVersion": 2, "manifests": [entry]})}


def config(*diff_ids, **more):
    """Return the layout of A and B, of which the configuration says something else."""
    return layout(
        Image((A, B), config={"rootfs": {"type": "layers", "diff_ids": diff_ids}, **more})
    )


SIZE = describe(A.media_type, A.blob()) | {"size": 1}
WRONG = {
    "no oci-layout": (without("oci-layout"), "validation-error"),
    "another version": (
        layout(IMAGE) | {"oci-layout": b'{"imageLayoutVersion": "2.0.0"}'},
        "validation-error",
    ),
    "no index": (without("index.json"), "path-error"),
    "a layer is missing": (without(blob_path(B.digest)), "path-error"),
    "the manifest is missing": (without(blob_path(IMAGE.digest)), "path-error"),
    "a layer has other content": (
        layout(IMAGE) | {blob_path(B.digest): C.compressed("gzip").blob()},
        "digest-mismatch",
    ),
    "a layer is cut off": (layout(IMAGE) | {blob_path(B.digest): B.blob()[:-1]}, "digest-mismatch"),
    "the manifest has other content": (
        layout(IMAGE) | {blob_path(IMAGE.digest): IMAGE.manifest_bytes() + b" "},
        "digest-mismatch",
    ),
    "the size of the manifest": (with_index(size=1), "digest-mismatch"),
    "the size of a layer": (layout(Image((A,), manifest={"layers": [SIZE]})), "digest-mismatch"),
    "a diffID": (config(A.diff_id, UNKNOWN), "digest-mismatch"),
    "too few diffIDs": (config(A.diff_id, history=[]), "validation-error"),
    "the schema version": (layout(Image((A,), manifest={"schemaVersion": 1})), "validation-error"),
    "no layers": (layout(Image((A,), manifest={"layers": "none"})), "validation-error"),
}


@image("IMG-006", MUST, f"{LAYOUT}; {MANIFEST}; image-spec descriptor.md, Digests")
@pytest.mark.parametrize("what", WRONG)
def test_an_image_that_is_not_what_it_says_is_refused(subject, what):
    """An image with anything missing, damaged, or wrongly described is refused, and not kept."""
    files, code = WRONG[what]

    with subject.refuses(code):
        imported(subject, files)
    assert subject.digests() == set()


#: A manifest that is right, but for its end.
OPEN = IMAGE.manifest_bytes()[:-1]


@image("IMG-007", MUST, f"{MANIFEST}; RFC 8259", profile="hostile")
@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{",
        b"[]",
        OPEN + b', "io.example": 1, "io.example": 2}',
        OPEN + b', "io.example": NaN}',
        OPEN + b', "io.example": "\xff"}',
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
    ids=["empty", "cut off", "a list", "a key twice", "NaN", "not UTF-8", "nested"],
)
def test_hostile_json_is_refused(subject, manifest):
    """A manifest that is no JSON object, ambiguous, or nested without end is refused."""
    entry = describe(images.MANIFEST, manifest)
    files = layout(IMAGE) | {
        "index.json": dumped({"schemaVersion": 2, "manifests": [entry]}),
        blob_path(sha256(manifest)): manifest,
    }

    with subject.refuses("validation-error"):
        imported(subject, files)
    assert subject.digests() == set()


@image("IMG-008", MUST, "image-spec descriptor.md, Digests: the grammar", profile="hostile")
@pytest.mark.parametrize("where", ["index", "layer", "config"])
def test_a_digest_is_no_way_out_of_a_layout(subject, host, where):
    """A descriptor whose digest is a path is refused, and nothing outside is read."""
    with host.canary() as outside:
        path = f"sha256:../../../../../../../../..{outside.file}"
        entry = {"mediaType": images.MANIFEST, "digest": path, "size": 1}
        files = layout(IMAGE)
        if where == "index":
            files["index.json"] = dumped({"schemaVersion": 2, "manifests": [entry]})
        else:
            field = {"layer": {"layers": [entry]}, "config": {"config": entry}}[where]
            files = layout(Image((A,), manifest=field))
        with subject.refuses("validation-error"):
            imported(subject, files)


@image("IMG-009", MUST, "image-spec considerations.md, Extensibility: unknown fields", "export")
def test_what_a_subject_does_not_know_is_kept(subject):
    """Fields and annotations that the specification does not know survive import and export."""
    strange = Image(
        (A, B),
        config={"io.example.future": {"a": [1, None, "grüße"]}, "author": "someone"},
        manifest={"annotations": {"io.example": "1"}, "io.example.future": [1.5]},
    )
    told = imported(subject, layout(strange))

    assert subject.export(image=told.manifest).digest == strange.digest


@image("IMG-010", MUST, "PROTOCOL.md, path-error", "export")
@pytest.mark.parametrize("what", ["a file", "not empty", "in the store"])
def test_an_export_overwrites_nothing(subject, host, what):
    """An export to what is no missing or empty directory is refused, and changes nothing there."""
    digest = subject.add(A)
    path = f"{subject.store}/export" if what == "in the store" else subject.path("there")
    if what == "a file":
        host.write(path, b"precious")
    elif what == "not empty":
        host.write(f"{host.mkdir(path)}/precious", b"precious")
    before = host.tree(path) if host.exists(path) else None

    with subject.refuses("path-error"):
        subject.call("export", path=path, digests=[digest])
    assert (host.tree(path) if host.exists(path) else None) == before


@image("IMG-011", MUST, "PROTOCOL.md, layer-not-found", "export")
def test_what_is_not_there_cannot_be_exported(subject, host):
    """Export of an unknown layer or image is refused, and makes nothing."""
    path = subject.path("export")
    with subject.refuses("layer-not-found"):
        subject.call("export", path=path, digests=[subject.add(A), UNKNOWN])
    with subject.refuses("layer-not-found"):
        subject.call("export", path=path, image="nobody's")
    assert not host.exists(path)


@image(
    "IMG-012", SHOULD, "image-spec config.md, Properties: history", "export", "commit", "writable"
)
def test_a_committed_change_can_be_exported_with_its_image(subject):
    """Layers exported with an image keep its configuration, and describe all of the layers."""
    told = imported(subject, layout(Image((A, B))))
    with subject.stacked(*told.digests, writable=True) as root:
        subject.inside(root, "echo new > d/new && rm d/a")
        digest = subject.commit(root)

    found = subject.export(image=told.manifest, digests=[*told.digests, digest])
    assert found.digests == [A.digest, B.digest, digest]
    assert found.config["config"]["Env"] == ["PATH=/bin"]
    made = [entry for entry in found.config["history"] if not entry.get("empty_layer")]
    assert len(made) == 3
    assert "d/new" in model.apply(*found.layers())


@image("IMG-013", MUST, "PROTOCOL.md, images and untag", "images", "gc")
@pytest.mark.parametrize("by", ["reference", "manifest"])
def test_an_image_is_listed_until_it_is_given_up(subject, by):
    """Images are listed until they are untagged, and then keep their layers from nothing."""
    told = imported(subject, layout(IMAGE))
    assert subject.call("images").images == (told,)
    name = told.reference if by == "reference" else told.manifest

    assert subject.call("untag", image=name).removed
    assert not subject.call("untag", image=name).removed
    assert subject.call("images").images == ()
    assert subject.digests() == {A.digest, B.digest, C.digest}
    subject.call("gc")
    assert subject.digests() == set()


@image(
    "IMG-014",
    MUST,
    f"{LAYOUT}; {MANIFEST}; skopeo",
    "export",
    target_needs=("skopeo",),
)
@pytest.mark.parametrize("of", ["layers", "an image"])
def test_an_export_is_an_image_to_others_too(subject, host, of):
    """An exported layout is one that skopeo copies whole, under the reference that was given."""
    path = subject.path("export")
    if of == "layers":
        fields = {"digests": [subject.add(layer) for layer in (A, B, C)]}
    else:
        fields = {"image": imported(subject, layout(IMAGE)).manifest}
    told = subject.call("export", path=path, reference="v1", **fields)

    assert tools.skopeo(host, subject.path("skopeo"), f"{path}:v1") == told.manifest


# --- a real image: --image OCI-LAYOUT -----------------------------------------------------------


@pytest.fixture
def real(image_layout, host, subject):
    """Give the real image as the suite reads it, and the path of its layout on the host."""
    found = images.read(lambda name: (image_layout / name).read_bytes())
    path = subject.path("image")
    for file in image_layout.rglob("*"):
        if file.is_file():
            name = f"{path}/{file.relative_to(image_layout)}"
            host.mkdir(name.rpartition("/")[0])
            host.put(file.read_bytes(), name)
    return found, path


@image(
    "IMG-020",
    MUST,
    "image-spec layer.md, Applying Changesets",
    target_needs=("init_user_namespace",),
)
def test_a_real_image_is_stacked_as_its_archives_say(subject, host, real):
    """The stack of a real image is what its archives say, to the last attribute of every path."""
    found, path = real
    told = subject.call("import", path=path).image
    assert (list(told.digests), list(told.diff_ids)) == (found.digests, found.diff_ids)

    with subject.stacked(*told.digests) as root:
        assert host.tree(root) == model.apply(*found.layers())


@image("IMG-021", MUST, "PROTOCOL.md, export", "export")
def test_a_real_image_is_exported_as_it_was(subject, real):
    """A real image that was imported and exported is the same, byte for byte."""
    found, path = real
    told = subject.call("import", path=path).image
    again = subject.export(image=told.manifest)

    assert again.digest == found.digest
    assert again.blobs == found.blobs


@image("IMG-022", MUST, "PROTOCOL.md, merge", "merge", target_needs=("init_user_namespace",))
def test_a_real_image_can_be_merged_into_one_layer(subject, host, real):
    """The merge of a real image's layers is one layer with the same tree."""
    found, path = real
    told = subject.call("import", path=path).image
    merged = subject.merge(*told.digests)

    with subject.stacked(merged) as root:
        assert host.tree(root) == model.apply(*found.layers())
