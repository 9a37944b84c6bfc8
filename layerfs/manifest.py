"""OCI index, manifest and configuration: parsed strictly, with unknown fields kept. No I/O.

Models of image-spec v1.1 (descriptor.md, image-index.md, manifest.md, config.md), and of Docker's
schema 2, whose documents have the same shape. Everything comes from strangers: before pydantic sees
it, the JSON is bounded in size and depth, and whatever two readers could take in two ways is
refused (duplicate keys, NaN and infinities, bytes that are not UTF-8, lone surrogates). All
failures are ValidationErrors of one line, which name the field.

Optional fields may be null, as Go's encoder writes them. Values are checked as the specification's
MUST demands; where it leaves freedom (any architecture, riscv64 among them) so do we. Documents are
never written again from these models: a digest names bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic import ValidationError as _PydanticError

from layerfs import descriptor
from layerfs.errors import ValidationError

#: Bytes of one document. Registries refuse manifests beyond 4 MiB (distribution-spec, "Pushing
#: Manifests"); configurations of long histories stay far below.
MAX_BYTES: Final = 4 << 20
#: Nested arrays and objects. The deepest known field is at six.
MAX_DEPTH: Final = 64

_INT64: Final = 2**63 - 1
_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)

Digest = Annotated[str, StringConstraints(pattern=r"^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$")]
MediaType = Annotated[
    str,
    StringConstraints(
        # RFC 6838, section 4.2
        pattern=r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$"
    ),
]
Size = Annotated[int, Field(ge=0, le=_INT64)]
#: RFC 3339, section 5.6: "date-time".
Time = Annotated[
    str,
    StringConstraints(
        pattern=r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]"
        r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$"
    ),
]
Name = Annotated[str, StringConstraints(min_length=1)]
#: GOARCH, GOOS and variants: tokens, of which new ones appear with every port.
Token = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=64)]
Annotations = dict[Name, str]
#: Go's map[string]struct{}: a set of strings.
StringSet = dict[str, dict[str, Any]]


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="allow", populate_by_name=True)


class Platform(_Model):
    """What an image runs on (image-index.md, "platform")."""

    architecture: Token
    os: Token
    os_version: str | None = Field(None, alias="os.version")
    os_features: list[str] | None = Field(None, alias="os.features")
    variant: str | None = None


class Descriptor(_Model):
    """What names a blob (descriptor.md)."""

    media_type: MediaType = Field(alias="mediaType")
    digest: Digest
    size: Size
    urls: list[str] | None = None
    annotations: Annotations | None = None
    data: str | None = None
    artifact_type: MediaType | None = Field(None, alias="artifactType")
    platform: Platform | None = None

    @model_validator(mode="after")
    def _data_is_the_blob(self) -> Descriptor:
        """Refuse an embedded copy that is not the content which the digest names."""
        if self.data is not None:
            try:
                content = base64.b64decode(self.data, validate=True)
            except binascii.Error as error:
                raise ValueError(f"data is not base64: {error}") from error
            name = self.digest.partition(":")[0]
            found = f"{name}:{hashlib.new(name, content).hexdigest()}"
            if len(content) != self.size or found != self.digest:
                raise ValueError("data is not what digest and size say")
        return self


class Index(_Model):
    """A list of manifests (image-index.md); Docker's manifest list."""

    schema_version: Literal[2] = Field(alias="schemaVersion")
    media_type: (
        Literal[
            "application/vnd.oci.image.index.v1+json",
            "application/vnd.docker.distribution.manifest.list.v2+json",
        ]
        | None
    ) = Field(None, alias="mediaType")
    artifact_type: MediaType | None = Field(None, alias="artifactType")
    manifests: list[Descriptor]
    subject: Descriptor | None = None
    annotations: Annotations | None = None

    @model_validator(mode="after")
    def _is_no_manifest(self) -> Index:
        """Refuse a document that reads as both (GHSA-77vh-xpmg-72qh)."""
        if mixed := {"config", "layers"} & set(self.model_extra or {}):
            raise ValueError(f"an index has no {min(mixed)!r}")
        return self


class Manifest(_Model):
    """One image: its configuration and layers, base first (manifest.md)."""

    schema_version: Literal[2] = Field(alias="schemaVersion")
    media_type: (
        Literal[
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.docker.distribution.manifest.v2+json",
        ]
        | None
    ) = Field(None, alias="mediaType")
    artifact_type: MediaType | None = Field(None, alias="artifactType")
    config: Descriptor
    layers: list[Descriptor]
    subject: Descriptor | None = None
    annotations: Annotations | None = None

    @model_validator(mode="after")
    def _is_coherent(self) -> Manifest:
        """Refuse a document that reads as an index as well, and an artifact without a type."""
        if "manifests" in (self.model_extra or {}):
            raise ValueError("a manifest has no 'manifests'")
        if self.config.media_type == descriptor.EMPTY and self.artifact_type is None:
            raise ValueError("artifactType must be set where config is the empty descriptor")
        return self


class Healthcheck(_Model):
    """Docker's extension; times in nanoseconds."""

    test: list[str] | None = Field(None, alias="Test")
    interval: int | None = Field(None, alias="Interval")
    timeout: int | None = Field(None, alias="Timeout")
    start_period: int | None = Field(None, alias="StartPeriod")
    start_interval: int | None = Field(None, alias="StartInterval")
    retries: int | None = Field(None, alias="Retries")


class Execution(_Model):
    """How a container is run (config.md, "config")."""

    user: str | None = Field(None, alias="User")
    exposed_ports: StringSet | None = Field(None, alias="ExposedPorts")
    env: list[str] | None = Field(None, alias="Env")
    entrypoint: list[str] | None = Field(None, alias="Entrypoint")
    cmd: list[str] | None = Field(None, alias="Cmd")
    volumes: StringSet | None = Field(None, alias="Volumes")
    working_dir: str | None = Field(None, alias="WorkingDir")
    labels: dict[str, str] | None = Field(None, alias="Labels")
    stop_signal: str | None = Field(None, alias="StopSignal")
    args_escaped: bool | None = Field(None, alias="ArgsEscaped")
    memory: int | None = Field(None, alias="Memory")
    memory_swap: int | None = Field(None, alias="MemorySwap")
    cpu_shares: int | None = Field(None, alias="CpuShares")
    healthcheck: Healthcheck | None = Field(None, alias="Healthcheck")


class RootFS(_Model):
    """The layers by diffID, base first."""

    type: Literal["layers"]
    diff_ids: list[Digest]


class History(_Model):
    """How a layer came to be."""

    created: Time | None = None
    author: str | None = None
    created_by: str | None = None
    comment: str | None = None
    empty_layer: bool | None = None


class Config(_Model):
    """The configuration of an image (config.md)."""

    created: Time | None = None
    author: str | None = None
    architecture: Token
    os: Token
    os_version: str | None = Field(None, alias="os.version")
    os_features: list[str] | None = Field(None, alias="os.features")
    variant: str | None = None
    config: Execution | None = None
    rootfs: RootFS
    history: list[History] | None = None

    @model_validator(mode="after")
    def _history_fits(self) -> Config:
        """There is a layer for each entry of the history that is not empty."""
        made = [one for one in self.history or () if not one.empty_layer]
        if self.history and len(made) != len(self.rootfs.diff_ids):
            raise ValueError(
                f"history tells of {len(made)} layers, rootfs.diff_ids names "
                f"{len(self.rootfs.diff_ids)}"
            )
        return self


class Layout(_Model):
    """The ``oci-layout`` file (image-layout.md)."""

    version: Literal["1.0.0"] = Field(alias="imageLayoutVersion")


_M = TypeVar("_M", bound=_Model)


def parse(model: type[_M], data: bytes, what: str) -> _M:
    """Parse a document as ``model``; ``what`` names it in errors. ValidationError."""
    document = decode(data, what)
    try:
        return model.model_validate(document)
    except _PydanticError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        where = f" in {field}" if field else ""
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise ValidationError(f"{what} is invalid{where}: {first['msg']}{more}") from None


def decode(data: bytes, what: str) -> Any:
    """Decode JSON of strangers; ValidationError for all that the module's docstring names."""
    if len(data) > MAX_BYTES:
        raise ValidationError(f"{what} has {len(data)} bytes; at most {MAX_BYTES} are read")
    _refuse_deep(data, what)
    try:
        text = data.decode("utf-8")
        document = json.loads(
            text,
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
        # A lone surrogate, escaped in the JSON, cannot be written as UTF-8 again.
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError) as error:
        raise ValidationError(f"{what} is not UTF-8: {error.reason}") from None
    except (ValueError, RecursionError) as error:
        raise ValidationError(f"{what} is not valid JSON: {error}") from None
    return document


def _refuse_deep(data: bytes, what: str) -> None:
    depth = 0
    for token in _TOKENS.finditer(data):
        first = data[token.start()]
        if first in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValidationError(f"{what} is nested deeper than {MAX_DEPTH} levels")
        elif first in b"]}":
            depth -= 1


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!a} occurs twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number
