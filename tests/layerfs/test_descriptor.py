from __future__ import annotations

import math

import pytest

from layerfs.descriptor import (
    CONFIG,
    LAYER,
    LAYER_COMPRESSION,
    LAYER_GZIP,
    LAYER_ZSTD,
    MANIFEST,
    Descriptor,
    compression_of,
    layer_media_type,
)
from layerfs.errors import ValidationError

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("media_type", "compression"),
    [
        ("application/vnd.oci.image.layer.v1.tar", "none"),
        ("application/vnd.oci.image.layer.v1.tar+gzip", "gzip"),
        ("application/vnd.oci.image.layer.v1.tar+zstd", "zstd"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", "none"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "gzip"),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", "zstd"),
        ("application/vnd.docker.image.rootfs.diff.tar", "none"),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip"),
    ],
)
def test_layer_media_types_say_their_compression(media_type, compression):
    assert compression_of(media_type) == compression


@pytest.mark.parametrize(
    "media_type",
    ["", "text/plain", MANIFEST, CONFIG, LAYER + "+bzip2", LAYER.upper(), LAYER + " ", None, 3, []],
)
def test_other_media_types_are_refused(media_type):
    with pytest.raises(ValidationError, match="media type"):
        compression_of(media_type)


def test_each_compression_has_an_oci_layer_type():
    for compression, media_type in (("none", LAYER), ("gzip", LAYER_GZIP), ("zstd", LAYER_ZSTD)):
        assert layer_media_type(compression) == media_type
        assert LAYER_COMPRESSION[media_type] == compression


def test_a_descriptor_survives_json_with_its_unknown_fields():
    value = {
        "mediaType": LAYER_GZIP,
        "digest": DIGEST,
        "size": 12,
        "annotations": {"org.opencontainers.image.ref.name": "latest"},
        "urls": ["https://example.org"],
        "x-unknown": {"deep": [1, None]},
    }
    descriptor = Descriptor.from_json(value)
    assert descriptor.as_json() == value
    assert (descriptor.media_type, descriptor.digest, descriptor.size) == (LAYER_GZIP, DIGEST, 12)


def test_a_descriptor_without_annotations_writes_none():
    assert Descriptor(LAYER, DIGEST, 0).as_json() == {
        "mediaType": LAYER,
        "digest": DIGEST,
        "size": 0,
    }


@pytest.mark.parametrize("lacking", ["mediaType", "digest", "size"])
def test_a_lacking_field_is_named(lacking):
    value = Descriptor(LAYER, DIGEST, 0).as_json()
    del value[lacking]
    with pytest.raises(ValidationError, match=lacking):
        Descriptor.from_json(value)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("size", -1, "not between"),
        ("size", 2**63, "not between"),
        ("size", 1.0, "integer"),
        ("size", math.nan, "integer"),
        ("size", True, "integer"),
        ("size", "12", "integer"),
        ("size", None, "integer"),
        ("digest", "sha256:abc", "malformed digest"),
        ("digest", None, "must be a string"),
        ("mediaType", "", "malformed media type"),
        ("mediaType", "layer", "malformed media type"),
        ("mediaType", "a/b\n", "malformed media type"),
        ("mediaType", 7, "malformed media type"),
        ("annotations", None, "annotations"),
        ("annotations", ["a"], "annotations"),
        ("annotations", {"a": 1}, "annotations"),
        ("annotations", {"": "a"}, "annotations"),
    ],
)
def test_malformed_fields_are_refused(field, value, words):
    whole = Descriptor(LAYER, DIGEST, 0).as_json()
    with pytest.raises(ValidationError, match=words):
        Descriptor.from_json({**whole, field: value})


@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_a_descriptor_must_be_an_object(value):
    with pytest.raises(ValidationError, match="must be an object"):
        Descriptor.from_json(value)


def test_sizes_up_to_int64_are_allowed():
    assert Descriptor(LAYER, DIGEST, 2**63 - 1).size == 2**63 - 1
