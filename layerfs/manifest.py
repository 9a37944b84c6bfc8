"""OCI index, manifest and configuration: parsed strictly, with unknown fields kept. No I/O.

Models of image-spec v1.1 (descriptor.md, image-index.md, manifest.md, config.md), and of Docker's
schema 2, whose documents have the same shape. Everything comes from strangers: before pydantic sees
it, the JSON is bounded in size and depth, and whatever two readers could take in two ways is
refused (duplicate keys, NaN and infinities, bytes that are not UTF-8, lone surrogates). All
failures are ValidationErrors of one line, which name the field.

Optional fields may be null, as Go's encoder writes them. Values are checked as the specification's
MUST demands; where it leaves freedom (any architecture, riscv64 among them) so do we. Documents are
never written again from these models: a digest names bytes.

The schemas are pydantic_core's, written out: the engine below pydantic's classes, with the same
checks and messages. To import those classes and derive the schemas from annotations takes longer
than to extract a small image.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import json
import math
import re
from typing import Any, ClassVar, Final, NoReturn, TypeVar

from pydantic_core import SchemaValidator, core_schema
from pydantic_core import ValidationError as _PydanticError

from layerfs import descriptor
from layerfs.errors import ValidationError

#: Bytes of one document. Registries refuse manifests beyond 4 MiB (distribution-spec, "Pushing
#: Manifests"); configurations of long histories stay far below.
MAX_BYTES: Final = 4 << 20
#: Nested arrays and objects. The deepest known field is at six.
MAX_DEPTH: Final = 64

_TOKENS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)

_TEXT: Final = core_schema.str_schema()
_TEXTS: Final = core_schema.list_schema(_TEXT)
_INT: Final = core_schema.int_schema()
_FLAG: Final = core_schema.bool_schema()
_DIGEST: Final = core_schema.str_schema(pattern=r"^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$")
_MEDIA_TYPE: Final = core_schema.str_schema(
    # RFC 6838, section 4.2
    pattern=r"^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$"
)
_SIZE: Final = core_schema.int_schema(ge=0, le=2**63 - 1)
#: RFC 3339, section 5.6: "date-time".
_TIME: Final = core_schema.str_schema(
    pattern=r"^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]"
    r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$"
)
#: GOARCH, GOOS and variants: tokens, of which new ones appear with every port.
_TOKEN: Final = core_schema.str_schema(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=64)
_ANNOTATIONS: Final = core_schema.dict_schema(core_schema.str_schema(min_length=1), _TEXT)
#: Go's map[string]struct{}: a set of strings.
_STRING_SET: Final = core_schema.dict_schema(
    _TEXT, core_schema.dict_schema(_TEXT, core_schema.any_schema())
)
_CONFIG: Final = core_schema.CoreConfig(strict=True, extra_fields_behavior="allow")


def _list(items: core_schema.CoreSchema) -> core_schema.CoreSchema:
    return core_schema.list_schema(items)


def _one_of(*values: str | int) -> core_schema.CoreSchema:
    return core_schema.literal_schema(list(values))


def _must(schema: core_schema.CoreSchema, name: str | None = None) -> Any:
    """Describe a field that must be there; ``name`` is the document's where it is not ours."""
    return core_schema.model_field(schema, validation_alias=name, serialization_alias=name)


def _may(schema: core_schema.CoreSchema, name: str | None = None) -> Any:
    """Describe a field that may be missing or null: then it is None."""
    schema = core_schema.nullable_schema(schema)
    return _must(core_schema.with_default_schema(schema, default=None), name)


def _checked(one: _Model) -> _Model:
    one.check()
    return one


class _Model:
    """An object of a document: its known fields as attributes, all others in ``extra``. Frozen."""

    __slots__ = (
        "__dict__",
        "__pydantic_extra__",
        "__pydantic_fields_set__",
        "__pydantic_private__",
    )
    __pydantic_extra__: dict[str, Any]
    schema: ClassVar[core_schema.CoreSchema]

    def __init_subclass__(cls) -> None:
        fields = {name: vars(cls)[name] for name in cls.__annotations__}
        for name in fields:
            delattr(cls, name)
        cls.schema = core_schema.model_schema(
            cls,
            core_schema.model_fields_schema(fields, model_name=cls.__name__),
            config=_CONFIG,
        )
        if "check" in vars(cls):
            cls.schema = core_schema.no_info_after_validator_function(_checked, cls.schema)

    def __init__(self, **fields: Any) -> None:
        """Make one of fields by our names; pydantic_core.ValidationError."""
        self.validator().validate_python(fields, self_instance=self, by_alias=False, by_name=True)

    @classmethod
    @functools.cache  # to build one takes as long as to use it a hundred times
    def validator(cls) -> SchemaValidator:
        """Return what makes an instance of a decoded object."""
        return SchemaValidator(cls.schema)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen")

    @property
    def extra(self) -> dict[str, Any]:
        """The fields that we know nothing of."""
        return self.__pydantic_extra__

    def check(self) -> None:
        """Raise ValueError where fields contradict each other."""


class Platform(_Model):
    """What an image runs on (image-index.md, "platform")."""

    architecture: str = _must(_TOKEN)
    os: str = _must(_TOKEN)
    os_version: str | None = _may(_TEXT, "os.version")
    os_features: list[str] | None = _may(_TEXTS, "os.features")
    variant: str | None = _may(_TEXT)


class Descriptor(_Model):
    """What names a blob (descriptor.md)."""

    media_type: str = _must(_MEDIA_TYPE, "mediaType")
    digest: str = _must(_DIGEST)
    size: int = _must(_SIZE)
    urls: list[str] | None = _may(_TEXTS)
    annotations: dict[str, str] | None = _may(_ANNOTATIONS)
    data: str | None = _may(_TEXT)
    artifact_type: str | None = _may(_MEDIA_TYPE, "artifactType")
    platform: Platform | None = _may(Platform.schema)

    def check(self) -> None:
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


class Index(_Model):
    """A list of manifests (image-index.md); Docker's manifest list."""

    schema_version: int = _must(_one_of(2), "schemaVersion")
    media_type: str | None = _may(
        _one_of(descriptor.INDEX, descriptor.DOCKER_MANIFEST_LIST), "mediaType"
    )
    artifact_type: str | None = _may(_MEDIA_TYPE, "artifactType")
    manifests: list[Descriptor] = _must(_list(Descriptor.schema))
    subject: Descriptor | None = _may(Descriptor.schema)
    annotations: dict[str, str] | None = _may(_ANNOTATIONS)

    def check(self) -> None:
        """Refuse a document that reads as both (GHSA-77vh-xpmg-72qh)."""
        if mixed := {"config", "layers"} & set(self.extra):
            raise ValueError(f"an index has no {min(mixed)!r}")


class Manifest(_Model):
    """One image: its configuration and layers, base first (manifest.md)."""

    schema_version: int = _must(_one_of(2), "schemaVersion")
    media_type: str | None = _may(
        _one_of(descriptor.MANIFEST, descriptor.DOCKER_MANIFEST), "mediaType"
    )
    artifact_type: str | None = _may(_MEDIA_TYPE, "artifactType")
    config: Descriptor = _must(Descriptor.schema)
    layers: list[Descriptor] = _must(_list(Descriptor.schema))
    subject: Descriptor | None = _may(Descriptor.schema)
    annotations: dict[str, str] | None = _may(_ANNOTATIONS)

    def check(self) -> None:
        """Refuse a document that reads as an index as well, and an artifact without a type."""
        if "manifests" in self.extra:
            raise ValueError("a manifest has no 'manifests'")
        if self.config.media_type == descriptor.EMPTY and self.artifact_type is None:
            raise ValueError("artifactType must be set where config is the empty descriptor")


class Healthcheck(_Model):
    """Docker's extension; times in nanoseconds."""

    test: list[str] | None = _may(_TEXTS, "Test")
    interval: int | None = _may(_INT, "Interval")
    timeout: int | None = _may(_INT, "Timeout")
    start_period: int | None = _may(_INT, "StartPeriod")
    start_interval: int | None = _may(_INT, "StartInterval")
    retries: int | None = _may(_INT, "Retries")


class Execution(_Model):
    """How a container is run (config.md, "config")."""

    user: str | None = _may(_TEXT, "User")
    exposed_ports: dict[str, dict[str, Any]] | None = _may(_STRING_SET, "ExposedPorts")
    env: list[str] | None = _may(_TEXTS, "Env")
    entrypoint: list[str] | None = _may(_TEXTS, "Entrypoint")
    cmd: list[str] | None = _may(_TEXTS, "Cmd")
    volumes: dict[str, dict[str, Any]] | None = _may(_STRING_SET, "Volumes")
    working_dir: str | None = _may(_TEXT, "WorkingDir")
    labels: dict[str, str] | None = _may(core_schema.dict_schema(_TEXT, _TEXT), "Labels")
    stop_signal: str | None = _may(_TEXT, "StopSignal")
    args_escaped: bool | None = _may(_FLAG, "ArgsEscaped")
    memory: int | None = _may(_INT, "Memory")
    memory_swap: int | None = _may(_INT, "MemorySwap")
    cpu_shares: int | None = _may(_INT, "CpuShares")
    healthcheck: Healthcheck | None = _may(Healthcheck.schema, "Healthcheck")


class RootFS(_Model):
    """The layers by diffID, base first."""

    type: str = _must(_one_of("layers"))
    diff_ids: list[str] = _must(_list(_DIGEST))


class History(_Model):
    """How a layer came to be."""

    created: str | None = _may(_TIME)
    author: str | None = _may(_TEXT)
    created_by: str | None = _may(_TEXT)
    comment: str | None = _may(_TEXT)
    empty_layer: bool | None = _may(_FLAG)


class Config(_Model):
    """The configuration of an image (config.md)."""

    created: str | None = _may(_TIME)
    author: str | None = _may(_TEXT)
    architecture: str = _must(_TOKEN)
    os: str = _must(_TOKEN)
    os_version: str | None = _may(_TEXT, "os.version")
    os_features: list[str] | None = _may(_TEXTS, "os.features")
    variant: str | None = _may(_TEXT)
    config: Execution | None = _may(Execution.schema)
    rootfs: RootFS = _must(RootFS.schema)
    history: list[History] | None = _may(_list(History.schema))

    def check(self) -> None:
        """There is a layer for each entry of the history that is not empty."""
        made = [one for one in self.history or () if not one.empty_layer]
        if self.history and len(made) != len(self.rootfs.diff_ids):
            raise ValueError(
                f"history tells of {len(made)} layers, rootfs.diff_ids names "
                f"{len(self.rootfs.diff_ids)}"
            )


class Layout(_Model):
    """The ``oci-layout`` file (image-layout.md)."""

    version: str = _must(_one_of("1.0.0"), "imageLayoutVersion")


_M = TypeVar("_M", bound=_Model)


def parse(model: type[_M], data: bytes, what: str) -> _M:
    """Parse a document as ``model``; ``what`` names it in errors. ValidationError."""
    document = decode(data, what)
    try:
        # By the document's names alone: ours are not in the specification.
        parsed: _M = model.validator().validate_python(document, by_alias=True, by_name=False)
    except _PydanticError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        where = f" in {field}" if field else ""
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise ValidationError(f"{what} is invalid{where}: {first['msg']}{more}") from None
    return parsed


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
