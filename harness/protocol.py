"""The conformance protocol, version 1, in machine-readable form.

``conformance/PROTOCOL.md`` is the text for people; ``conformance/protocol.schema.json`` is made
from these models (``layerfs-conformance schema``), and a test holds the two together. Nothing here
does I/O. Requests forbid unknown fields, so that a misspelt one is an error; responses ignore
them, so that a subject may say more than it must.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

PROTOCOL_VERSION: Final = 1

EXIT_DONE: Final = 0
EXIT_REFUSED: Final = 10
EXIT_UNSUPPORTED: Final = 11


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be text")  # noqa: TRY004 - what pydantic takes for a mistake
    return value


def _words(value: Any) -> str:
    if not _text(value).strip():
        raise ValueError("must not be empty")
    return _text(value)


def _absolute(value: Any) -> str:
    if not _text(value).startswith("/"):
        raise ValueError("must be an absolute path")
    return _text(value)


#: Text that may name files: pydantic's own str has no lone surrogates, which names may need.
Text = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": "string"})]
Words = Annotated[str, PlainValidator(_words), WithJsonSchema({"type": "string", "minLength": 1})]
Digest = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$")]
#: An absolute path on the subject's host. Bytes that are not UTF-8 travel as lone surrogates.
Path = Annotated[
    str, PlainValidator(_absolute), WithJsonSchema({"type": "string", "pattern": "^/"})
]

ErrorCode = Literal[
    "circular-dependency",
    "compression-error",
    "decompression-error",
    "digest-mismatch",
    "hostile-layer",
    "invalid-layer-order",
    "invalid-layer-path",
    "invalid-mount-point",
    "invalid-overlay",
    "layer-in-use",
    "layer-merging-failed",
    "layer-not-found",
    "layer-stacking-failed",
    "limit-exceeded",
    "metadata-error",
    "mount-failed",
    "path-error",
    "permission-denied",
    "read-only-filesystem",
    "storage-error",
    "unmount-failed",
    "unsupported",
    "validation-error",
    "write-failed",
    "zfs-clone-failed",
    "zfs-dataset-create-failed",
    "zfs-dataset-destroy-failed",
    "zfs-dataset-not-found",
    "zfs-error",
    "zfs-snapshot-failed",
]


class _Request(BaseModel):
    # A digest in a request is a plain string: the suite must be able to send malformed ones.
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Response(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


# --- objects ------------------------------------------------------------------------------------


class Layer(_Response):
    """One layer of the store, named by ``digest``, that of the blob as it was added."""

    digest: Digest
    diff_id: Digest
    size: int = Field(ge=0, description="bytes of the blob as stored")
    media_type: str
    dependencies: tuple[Digest, ...] = ()


class Mount(_Response):
    """A mounted view: ``digests`` base first; ``target`` as the kernel shows it."""

    target: Path
    digests: tuple[Digest, ...]
    writable: bool


class Image(_Response):
    """An image of the store: layers base first."""

    manifest: Digest
    digests: tuple[Digest, ...]
    diff_ids: tuple[Digest, ...]
    reference: str | None = None


class Damage(_Response):
    """One finding of verify: ``path`` is relative to the layer's root, or null for the blob."""

    digest: Digest
    path: Text | None = None
    problem: Text


class Removed(_Response):
    """One layer that gc removed, or would remove."""

    digest: Digest


class ItemError(_Response):
    """One bad item that gc went past."""

    digest: str | None = None
    code: ErrorCode
    message: Text


class Problem(_Response):
    """One finding of check: metadata against disk against mountinfo."""

    kind: str
    message: Text
    digest: str | None = None
    path: Text | None = None


class Error(_Response):
    """Why a request was refused. ``code`` is from the closed list; the rest are facts."""

    code: ErrorCode
    message: Words
    digest: str | None = None
    path: Text | None = None
    holder: Text | None = None
    errno: str | int | None = None
    limit: str | None = None


# --- requests -----------------------------------------------------------------------------------


class InfoRequest(_Request):
    """Who are you? Needs no store."""


class StoreRequest(_Request):
    """Verbs that need only the store (an absolute directory, which ``open`` creates)."""

    store: Path


class OpenRequest(StoreRequest):
    """Create or recover the store. With ``readonly`` every change is refused afterwards.

    ``limits`` replace those of section 9 by name, for this session. ``zfs`` is the dataset of the
    store, ``pool/name``, which is created when it is missing; its parent is there.
    """

    readonly: bool = False
    limits: dict[str, int] = {}
    zfs: Text | None = None


class AddRequest(StoreRequest):
    """Add the blob at ``path``. What is given of digest, size and diff_id must be verified."""

    path: Path
    media_type: str = "application/vnd.oci.image.layer.v1.tar"
    digest: str | None = None
    size: int | None = None
    diff_id: str | None = None
    dependencies: tuple[str, ...] = ()


class LayerRequest(StoreRequest):
    """Verbs about one layer."""

    digest: str


class LayersRequest(StoreRequest):
    """Verbs about several layers, base first; None means all of the store."""

    digests: tuple[str, ...] | None = None


class StackRequest(StoreRequest):
    """Mount the layers, base first, as one tree at ``target``."""

    digests: tuple[str, ...]
    target: Text
    writable: bool = False


class MountRequest(StoreRequest):
    """Mount one layer, read-only."""

    digest: str
    target: Text


class TargetRequest(StoreRequest):
    """Verbs about one mount of the store, named by its target."""

    target: Text


class MergeRequest(StoreRequest):
    """Merge the layers, base first, into one new layer."""

    digests: tuple[str, ...]


class LeaseRequest(StoreRequest):
    """Keep ``digests`` from garbage collection under ``name``, until it is released."""

    name: str
    digests: tuple[str, ...]


class ReleaseRequest(StoreRequest):
    """Give a lease up; releasing an unknown name succeeds."""

    name: str


class GcRequest(StoreRequest):
    """Remove layers that nothing keeps. ``force`` also ignores leases (never mounts or images)."""

    dry_run: bool = False
    force: bool = False


class ImportRequest(StoreRequest):
    """Import an image from the OCI image layout at ``path``."""

    path: Path
    reference: str | None = None


class ExportRequest(StoreRequest):
    """Write an OCI image layout to ``path`` (missing or an empty directory).

    Either ``digests`` (base first) or ``image`` (a manifest digest or reference) is given; with
    both, the image's configuration with these layers.
    """

    path: Path
    digests: tuple[str, ...] | None = None
    image: str | None = None
    reference: str = "latest"


# --- responses ----------------------------------------------------------------------------------


class InfoResponse(_Response):
    """Name and version of the implementation, and the protocol that it speaks."""

    name: str
    version: str
    protocol: int


class OpenResponse(_Response):
    """The opened store."""

    store: Path


class EmptyResponse(_Response):
    """Done; there is nothing to say."""


class LayerResponse(_Response):
    """One layer."""

    layer: Layer


class LayersResponse(_Response):
    """All layers, in no promised order."""

    layers: tuple[Layer, ...]


class RemoveResponse(_Response):
    """``removed`` is false when the layer had already gone."""

    removed: bool


class OrderResponse(_Response):
    """The digests, dependencies first; otherwise in the order in which they were given."""

    digests: tuple[Digest, ...]


class VerifyResponse(_Response):
    """What is damaged; empty when all is whole."""

    damaged: tuple[Damage, ...]


class RepairResponse(_Response):
    """Which layers were made whole again, and which could not be."""

    repaired: tuple[Digest, ...]
    failed: tuple[ItemError, ...] = ()


class MountResponse(_Response):
    """The new view."""

    mount: Mount


class MountsResponse(_Response):
    """All views of this store."""

    mounts: tuple[Mount, ...]


class GcResponse(_Response):
    """``bytes_freed`` is measured on disk; with ``dry_run`` it is what would be freed."""

    removed: tuple[Removed, ...]
    bytes_freed: int = Field(ge=0)
    errors: tuple[ItemError, ...] = ()


class StatsResponse(_Response):
    """Counts of layers; ``bytes_total`` is measured on disk, blobs and trees together."""

    layers: int = Field(ge=0)
    mounted: int = Field(ge=0, description="layers that take part in at least one mount")
    referenced: int = Field(ge=0, description="layers kept by an image, lease or dependency")
    unused: int = Field(ge=0, description="layers neither mounted nor referenced")
    mounts: int = Field(ge=0)
    bytes_total: int = Field(ge=0)


class CheckResponse(_Response):
    """Everything found wrong; empty when metadata, disk and mounts agree."""

    problems: tuple[Problem, ...]


class ImageResponse(_Response):
    """One image."""

    image: Image


class UntagRequest(StoreRequest):
    """Forget a name of an image; by manifest digest, the image with all its names."""

    image: str


class SendRequest(StoreRequest):
    """Write the stack of ``digests``, base first, to the new file ``path``.

    ``since`` is the beginning of ``digests``: layers that the receiver has.
    """

    digests: tuple[str, ...]
    path: Path
    since: tuple[str, ...] = ()


class ReceiveRequest(StoreRequest):
    """Receive the stack that ``send`` wrote to the file at ``path``.

    With ``blobs_only`` its layers alone, whose trees are then made from them.
    """

    path: Path
    blobs_only: bool = False


class ReceiveResponse(_Response):
    """All layers of the stack, base first."""

    layers: tuple[Layer, ...]


class ImagesResponse(_Response):
    """The images, one entry for each of their names, or one without a reference."""

    images: tuple[Image, ...]


class ExportResponse(_Response):
    """The manifest that was written."""

    manifest: Digest


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: its request and response, and the capability without which it is unsupported."""

    name: str
    request: type[_Request]
    response: type[_Response]
    capability: str | None


def _verbs(*verbs: Verb) -> Mapping[str, Verb]:
    return {verb.name: verb for verb in verbs}


VERBS: Final[Mapping[str, Verb]] = _verbs(
    Verb("info", InfoRequest, InfoResponse, None),
    Verb("open", OpenRequest, OpenResponse, None),
    Verb("close", StoreRequest, EmptyResponse, None),
    Verb("add", AddRequest, LayerResponse, None),
    Verb("get", LayerRequest, LayerResponse, None),
    Verb("list", StoreRequest, LayersResponse, None),
    Verb("remove", LayerRequest, RemoveResponse, None),
    Verb("stack", StackRequest, MountResponse, None),
    Verb("unmount", TargetRequest, EmptyResponse, None),
    Verb("mounts", StoreRequest, MountsResponse, "mounts"),
    Verb("mount", MountRequest, MountResponse, "mount"),
    Verb("commit", TargetRequest, LayerResponse, "commit"),
    Verb("merge", MergeRequest, LayerResponse, "merge"),
    Verb("order", LayersRequest, OrderResponse, "dependencies"),
    Verb("check-cycles", StoreRequest, EmptyResponse, "dependencies"),
    Verb("verify", LayersRequest, VerifyResponse, "verify"),
    Verb("repair", LayersRequest, RepairResponse, "repair"),
    Verb("lease", LeaseRequest, EmptyResponse, "lease"),
    Verb("release", ReleaseRequest, EmptyResponse, "lease"),
    Verb("gc", GcRequest, GcResponse, "gc"),
    Verb("stats", StoreRequest, StatsResponse, "stats"),
    Verb("check", StoreRequest, CheckResponse, "check"),
    Verb("import", ImportRequest, ImageResponse, "import"),
    Verb("export", ExportRequest, ExportResponse, "export"),
    Verb("images", StoreRequest, ImagesResponse, "images"),
    Verb("untag", UntagRequest, RemoveResponse, "images"),
    Verb("send", SendRequest, EmptyResponse, "replicate"),
    Verb("receive", ReceiveRequest, ReceiveResponse, "replicate"),
)

#: Capabilities that are not verbs.
EXTRA_CAPABILITIES: Final[Mapping[str, str]] = {
    "session": "speaks the protocol as JSON lines, one process for many requests",
    "writable": "stack takes writable=true",
    "readonly-store": "open takes readonly=true",
    "limits": "open takes limits",
    "zstd": "layers compressed with zstd",
    "sha512": "descriptors with sha512 digests",
    "devices": "layers with device nodes, where the host's privileges allow them",
    "concurrent": "several processes may use one store at once",
    "zfs": "open takes zfs, a dataset that the store keeps its layers in",
}
#: Facts of the host without which a subject that declares a capability cannot be judged there.
HOST_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {"zfs": ("zfs",)}

CAPABILITIES: Final[frozenset[str]] = frozenset(
    {verb.capability for verb in VERBS.values() if verb.capability} | set(EXTRA_CAPABILITIES)
)


class SessionRequest(BaseModel):
    """One line to a session. ``id`` comes back in the answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: int
    verb: str
    request: dict[str, Any]


class SessionResponse(BaseModel):
    """One line from a session: ``status`` as an exit status; the response, or the error."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    id: int
    status: Literal[0, 10, 11]
    response: dict[str, Any] | None = None
    error: Error | None = None


class Refusal(_Response):
    """What a refused call (exit status 10 or 11) prints."""

    error: Error


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the whole protocol: every verb's request and response."""
    definitions: dict[str, Any] = {}
    verbs: dict[str, Any] = {}
    for verb in VERBS.values():
        names: dict[str, Any] = {}
        for role, model in (("request", verb.request), ("response", verb.response)):
            one = model.model_json_schema(ref_template="#/$defs/{model}")
            definitions.update(one.pop("$defs", {}))
            definitions[model.__name__] = one
            names[role] = {"$ref": f"#/$defs/{model.__name__}"}
        verbs[verb.name] = {
            "type": "object",
            "properties": names,
            "required": ["request", "response"],
            "x-capability": verb.capability,
        }
    for line in (SessionRequest, SessionResponse, Refusal):
        one = line.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(one.pop("$defs", {}))
        definitions[line.__name__] = one
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"layerfs conformance protocol, version {PROTOCOL_VERSION}",
        "properties": verbs,
        "$defs": dict(sorted(definitions.items())),
    }
