"""Media types, and the descriptor: what names a blob (image-spec descriptor.md). No I/O.

Only what decides how a layer is read is interpreted here. A descriptor's other fields (urls,
platform, data, artifactType, and any that is not known) are kept as they came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from layerfs import digest as digests
from layerfs.errors import ValidationError

Compression = Literal["none", "gzip", "zstd"]

INDEX: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
EMPTY: Final = "application/vnd.oci.empty.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP: Final = LAYER + "+gzip"
LAYER_ZSTD: Final = LAYER + "+zstd"
# Deprecated by image-spec v1.1, but still to be read.
NONDISTRIBUTABLE: Final = "application/vnd.oci.image.layer.nondistributable.v1.tar"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_MANIFEST_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG: Final = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER: Final = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_FOREIGN_LAYER: Final = "application/vnd.docker.image.rootfs.foreign.diff.tar"

#: Each media type of a layer, to the compression of its tar.
LAYER_COMPRESSION: Final[Mapping[str, Compression]] = {
    LAYER: "none",
    LAYER_GZIP: "gzip",
    LAYER_ZSTD: "zstd",
    NONDISTRIBUTABLE: "none",
    NONDISTRIBUTABLE + "+gzip": "gzip",
    NONDISTRIBUTABLE + "+zstd": "zstd",
    DOCKER_LAYER: "none",
    DOCKER_LAYER + ".gzip": "gzip",
    # Not registered, but written by builders with `compression=zstd,oci-mediatypes=false`.
    DOCKER_LAYER + ".zstd": "zstd",
    DOCKER_FOREIGN_LAYER: "none",
    DOCKER_FOREIGN_LAYER + ".gzip": "gzip",
}

_LAYER_TYPES: Final[Mapping[Compression, str]] = {
    "none": LAYER,
    "gzip": LAYER_GZIP,
    "zstd": LAYER_ZSTD,
}

# RFC 6838 section 4.2: type and subtype are restricted names of 1 to 127 characters.
_MEDIA_TYPE: Final = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
)
#: The image-spec's integers are signed 64-bit (descriptor.md: ``size`` is an int64).
_MAX_SIZE: Final = 2**63 - 1


def compression_of(media_type: object) -> Compression:
    """Return how a layer of this media type is compressed.

    ValidationError for anything that is not the media type of a layer.
    """
    if not isinstance(media_type, str):
        raise ValidationError(f"a media type must be a string, not {type(media_type).__name__}")
    try:
        return LAYER_COMPRESSION[media_type]
    except KeyError:
        raise ValidationError(
            f"unknown layer media type {media_type[:200]!a}; known are "
            + ", ".join(LAYER_COMPRESSION)
        ) from None


def layer_media_type(compression: Compression) -> str:
    """Return the OCI media type of a layer with this compression."""
    return _LAYER_TYPES[compression]


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob's media type, digest and size in bytes, and what else was said of it.

    ``extra`` holds the fields that are not interpreted, under their JSON names. ValidationError
    when a value is malformed.
    """

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what the image-spec does not allow."""
        if not isinstance(self.media_type, str) or not _MEDIA_TYPE.fullmatch(self.media_type):
            raise ValidationError(f"malformed media type {str(self.media_type)[:200]!a}")
        digests.parse(self.digest)
        # A JSON true is an int to Python.
        if not isinstance(self.size, int) or isinstance(self.size, bool):
            raise ValidationError(f"size must be an integer, not {type(self.size).__name__}")
        if not 0 <= self.size <= _MAX_SIZE:
            raise ValidationError(f"size {self.size} is not between 0 and {_MAX_SIZE}")
        if not isinstance(self.annotations, Mapping) or not all(
            isinstance(key, str) and key and isinstance(value, str)
            for key, value in self.annotations.items()
        ):
            raise ValidationError("annotations must map non-empty strings to strings")

    @classmethod
    def from_json(cls, value: object) -> Descriptor:
        """Make a descriptor of a decoded JSON object; ValidationError names what is wrong."""
        if not isinstance(value, Mapping):
            raise ValidationError(f"a descriptor must be an object, not {type(value).__name__}")
        rest = dict(value)
        try:
            media_type, digest, size = rest.pop("mediaType"), rest.pop("digest"), rest.pop("size")
        except KeyError as error:
            raise ValidationError(f"a descriptor lacks its {error.args[0]!r}") from None
        annotations = rest.pop("annotations", {})
        return cls(media_type, digest, size, annotations, rest)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object; ``annotations`` only when there are any."""
        known: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": self.digest,
            "size": self.size,
        }
        if self.annotations:
            known["annotations"] = dict(self.annotations)
        return {**known, **self.extra}
