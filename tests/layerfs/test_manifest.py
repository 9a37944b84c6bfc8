import base64
import json

import pytest
from pydantic_core import SchemaSerializer
from pydantic_core import ValidationError as PydanticError

from layerfs.errors import ValidationError
from layerfs.manifest import MAX_BYTES, Config, Descriptor, Index, Layout, Manifest, decode, parse

from .recipes import sha256

DIGEST = "sha256:" + "0" * 64
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": DIGEST, "size": 1}
CONFIG_DESCRIPTOR = {
    "mediaType": "application/vnd.oci.image.config.v1+json",
    "digest": DIGEST,
    "size": 1,
}

MANIFEST = {
    "schemaVersion": 2,
    "mediaType": MANIFEST_TYPE,
    "artifactType": "application/x",
    "config": CONFIG_DESCRIPTOR,
    "layers": [{**LAYER, "urls": ["https://x"], "annotations": {"k": "v"}, "org.x": [1]}],
    "subject": LAYER,
    "annotations": {"k": ""},
    "unknown": {"deep": [None]},
}
INDEX = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.index.v1+json",
    "manifests": [
        {
            **LAYER,
            "mediaType": MANIFEST_TYPE,
            "platform": {
                "architecture": "riscv64",
                "os": "linux",
                "os.version": "1",
                "os.features": ["a"],
                "variant": "v1",
            },
        }
    ],
    "annotations": None,
}
CONFIG = {
    "created": "2015-10-31T22:22:56.015925234Z",
    "author": "A <a@b>",
    "architecture": "amd64",
    "os": "linux",
    "os.version": None,
    "variant": "v3",
    "config": {
        "User": "alice",
        "ExposedPorts": {"8080/tcp": {}},
        "Env": ["PATH=/bin"],
        "Entrypoint": ["/bin/x"],
        "Cmd": None,
        "Volumes": {"/v": {}},
        "WorkingDir": "/",
        "Labels": {"a": "b"},
        "StopSignal": "SIGKILL",
        "ArgsEscaped": True,
        "Healthcheck": {"Test": ["NONE"], "Interval": 10},
        "OnBuild": None,
    },
    "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
    "history": [
        {"created": "2015-10-31T22:22:54+02:00", "created_by": "x"},
        {"empty_layer": True, "comment": "y", "author": "z"},
    ],
    "moby.extra": 1.5,
}


def changed(document, path, value):
    """Return a copy with the value at a path ("a.0.b") replaced; ... deletes it."""
    copy = json.loads(json.dumps(document))
    at = copy
    *way, last = [int(part) if part.isdigit() else part for part in path.split("/")]
    for part in way:
        at = at[part]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return copy


def read(model, document):
    return parse(model, json.dumps(document).encode(), "document")


@pytest.mark.parametrize(
    ("model", "document"), [(Manifest, MANIFEST), (Index, INDEX), (Config, CONFIG)]
)
def test_every_field_of_the_specification_is_read_and_unknown_ones_are_kept(model, document):
    parsed = read(model, document)
    written = SchemaSerializer(model.schema).to_json(parsed, by_alias=True, exclude_unset=True)
    again = json.loads(written)
    assert again == document


def test_dockers_documents_are_read_as_well():
    docker = "application/vnd.docker.distribution.manifest"
    read(Manifest, changed(MANIFEST, "mediaType", f"{docker}.v2+json"))
    read(Index, changed(INDEX, "mediaType", f"{docker}.list.v2+json"))


def test_the_smallest_documents_are_enough():
    read(Manifest, {"schemaVersion": 2, "config": CONFIG_DESCRIPTOR, "layers": []})
    read(Index, {"schemaVersion": 2, "manifests": []})
    rootfs = {"type": "layers", "diff_ids": []}
    read(Config, {"architecture": "amd64", "os": "linux", "rootfs": rootfs})
    read(Layout, {"imageLayoutVersion": "1.0.0"})


@pytest.mark.parametrize(
    "architecture", ["riscv64", "loong64", "ppc64le", "s390x", "wasm", "mips64p32"]
)
def test_any_architecture_is_accepted(architecture):
    assert read(Config, changed(CONFIG, "architecture", architecture)).architecture == architecture


@pytest.mark.parametrize(
    ("model", "document", "path", "value"),
    [
        (Manifest, MANIFEST, "schemaVersion", 1),
        (Manifest, MANIFEST, "schemaVersion", "2"),
        (Manifest, MANIFEST, "schemaVersion", ...),
        (Manifest, MANIFEST, "mediaType", "application/json"),
        (Manifest, MANIFEST, "mediaType", "application/vnd.oci.image.index.v1+json"),
        (Manifest, MANIFEST, "config", ...),
        (Manifest, MANIFEST, "config", []),
        (Manifest, MANIFEST, "config/digest", "sha256:" + "A" * 64),
        (Manifest, MANIFEST, "config/digest", "sha256:" + "0" * 64 + "\n"),
        (Manifest, MANIFEST, "config/digest", "md5:" + "0" * 32),
        (Manifest, MANIFEST, "config/size", -1),
        (Manifest, MANIFEST, "config/size", 1.0),
        (Manifest, MANIFEST, "config/size", True),
        (Manifest, MANIFEST, "config/size", "1"),
        (Manifest, MANIFEST, "config/size", 2**63),
        (Manifest, MANIFEST, "config/mediaType", "text"),
        (Manifest, MANIFEST, "layers", None),
        (Manifest, MANIFEST, "layers", {"0": LAYER}),
        (Manifest, MANIFEST, "layers/0/digest", ...),
        (Manifest, MANIFEST, "layers/0/urls", "https://x"),
        (Manifest, MANIFEST, "annotations", {"k": 1}),
        (Manifest, MANIFEST, "annotations", {"": "v"}),
        (Manifest, MANIFEST, "annotations", ["k"]),
        (Manifest, MANIFEST, "manifests", []),
        (Manifest, changed(MANIFEST, "artifactType", ...), "config/mediaType",
         "application/vnd.oci.empty.v1+json"),
        (Index, INDEX, "manifests", ...),
        (Index, INDEX, "mediaType", MANIFEST_TYPE),
        (Index, INDEX, "layers", []),
        (Index, INDEX, "manifests/0/platform/os", ...),
        (Index, INDEX, "manifests/0/platform/architecture", ""),
        (Index, INDEX, "manifests/0/platform/os.features", "a"),
        (Config, CONFIG, "architecture", ...),
        (Config, CONFIG, "architecture", ""),
        (Config, CONFIG, "architecture", "../x"),
        (Config, CONFIG, "os", 7),
        (Config, CONFIG, "created", "yesterday"),
        (Config, CONFIG, "created", "2015-13-31T22:22:56Z"),
        (Config, CONFIG, "config/Entrypoint", "/bin/x"),
        (Config, CONFIG, "config/Cmd", "echo hello"),
        (Config, CONFIG, "config/Env", {"PATH": "/bin"}),
        (Config, CONFIG, "config/Labels", ["a=b"]),
        (Config, CONFIG, "config/ExposedPorts", ["8080"]),
        (Config, CONFIG, "rootfs", ...),
        (Config, CONFIG, "rootfs/type", "overlay"),
        (Config, CONFIG, "rootfs/diff_ids/0", "sha256:0"),
        (Config, CONFIG, "rootfs/diff_ids", [DIGEST, DIGEST]),
        (Config, CONFIG, "history/1/empty_layer", "yes"),
        (Config, CONFIG, "history/1/empty_layer", False),
        (Layout, {"imageLayoutVersion": "1.0.0"}, "imageLayoutVersion", "2.0.0"),
        (Layout, {"imageLayoutVersion": "1.0.0"}, "imageLayoutVersion", ...),
    ],
)  # fmt: skip
def test_what_the_specification_forbids_is_refused_in_one_line(model, document, path, value):
    read(model, document)
    with pytest.raises(ValidationError) as refusal:
        read(model, changed(document, path, value))
    assert "\n" not in refusal.value.message
    assert refusal.value.message.startswith("document is invalid")


def test_a_parsed_document_cannot_be_changed():
    parsed = read(Layout, {"imageLayoutVersion": "1.0.0"})
    with pytest.raises(AttributeError, match="Layout is frozen"):
        parsed.version = "2.0.0"


def test_a_descriptor_made_by_hand_is_checked_as_well():
    made = Descriptor(media_type=MANIFEST_TYPE, digest=DIGEST, size=1)
    assert (made.media_type, made.platform, made.extra) == (MANIFEST_TYPE, None, {})
    with pytest.raises(PydanticError):
        Descriptor(media_type=MANIFEST_TYPE, digest=DIGEST, size=-1)


def test_a_refusal_names_the_field():
    with pytest.raises(ValidationError, match=r"invalid in layers\.0\.size: .*and 1 more"):
        read(Manifest, changed(changed(MANIFEST, "layers/0/size", "x"), "config/size", 1.5)
             | {"config": CONFIG_DESCRIPTOR, "schemaVersion": 3, "mediaType": MANIFEST_TYPE}
             | {"schemaVersion": 2, "subject": changed(LAYER, "size", "y")})  # fmt: skip


def test_embedded_data_must_be_the_blob():
    data = b"{}"
    good = {**CONFIG_DESCRIPTOR, "digest": sha256(data), "size": 2,
            "data": base64.b64encode(data).decode()}  # fmt: skip
    read(Manifest, {**MANIFEST, "config": good})
    for bad in ({"data": "e30"}, {"data": "!!"}, {"size": 3}, {"digest": DIGEST}, {"data": ""}):
        with pytest.raises(ValidationError, match="data"):
            read(Manifest, {**MANIFEST, "config": {**good, **bad}})


def test_names_that_only_we_use_are_unknown_fields():
    document = {**LAYER, "artifact_type": "no type at all"}
    one = parse(Descriptor, json.dumps(document).encode(), "it")
    assert (one.artifact_type, one.extra) == (None, {"artifact_type": "no type at all"})
    del document["mediaType"]
    document["media_type"] = LAYER["mediaType"]
    with pytest.raises(ValidationError, match="it is invalid in mediaType: Field required"):
        parse(Descriptor, json.dumps(document).encode(), "it")


@pytest.mark.parametrize("document", [None, 1, "x", [], [MANIFEST], True])
def test_what_is_no_object_is_refused(document):
    for model in (Manifest, Index, Config, Layout):
        with pytest.raises(ValidationError):
            read(model, document)


# --- hostile JSON


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "'c' occurs twice"),
        (b'{"a": 1, "\\u0061": 2}', "'a' occurs twice"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": -Infinity}', "-Infinity is no JSON number"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
        (b'{"a": "\\ud800"}', "not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not "),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b'{"a": "\x00"}', "not valid JSON"),
        (b"[" * 65 + b"]" * 65, "deeper than 64"),
        (b"[" * 200_000, "deeper than 64"),
        (b'{"a":' * 100_000, "deeper than 64"),
        (b" " * (MAX_BYTES + 1), "at most"),
    ],
)
def test_hostile_json_is_refused(data, why):
    with pytest.raises(ValidationError, match=why) as refusal:
        decode(data, "document")
    assert "\n" not in refusal.value.message
    assert len(refusal.value.message) < 500


def test_brackets_in_strings_are_no_depth():
    document = {'a\\"[': "[" * 1000 + '\\"{', "b": ["\\"]}
    assert decode(json.dumps(document).encode(), "document") == document
    deepest = b"[" * 64 + b"]" * 64
    assert decode(deepest, "document")
