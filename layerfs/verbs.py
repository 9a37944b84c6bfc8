"""The protocol's verbs: a decoded JSON request in, a JSON response out, or a LayerFSError.

What each verb takes and answers is written in conformance/PROTOCOL.md, section 4. A request is
checked whole before anything is done: an unknown field, one that is missing, or one of the wrong
type is a ValidationError that names it. A verb that is not known is an UnsupportedError.

Every verb but ``open`` and ``info`` wants a store that is there already. Nothing of the store is
imported before a verb needs it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple

from layerfs import __version__, fields
from layerfs.errors import UnsupportedError
from layerfs.openstores import Stores

if TYPE_CHECKING:
    from layerfs.records import Image, Layer, Mount
    from layerfs.reports import ItemError

PROTOCOL: Final = 1

Response = dict[str, Any]
Handler = Callable[[Stores, Mapping[str, Any]], Response]


class Verb(NamedTuple):
    """One verb: what its requests hold, and what it does."""

    fields: Mapping[str, fields.Field]
    run: Handler


def answer(stores: Stores, verb: object, request: object) -> Response:
    """Check a request, do what it asks, and return the response. Raises LayerFSError only."""
    if not isinstance(verb, str) or verb not in VERBS:
        raise UnsupportedError(f"no verb {str(verb)[:80]!r}; there are {', '.join(VERBS)}")
    known = VERBS[verb]
    return known.run(stores, fields.checked(verb, known.fields, request))


# --- responses ----------------------------------------------------------------------------------


def _layer(layer: Layer) -> Response:
    return {
        "digest": layer.digest,
        "diff_id": layer.diff_id,
        "size": layer.size,
        "media_type": layer.media_type,
        "dependencies": list(layer.dependencies),
    }


def _mount(mount: Mount) -> Response:
    return {
        "target": mount.target,
        "digests": list(mount.digests),
        "writable": mount.writable,
    }


def _image(image: Image) -> Response:
    return {
        "manifest": image.manifest,
        "digests": list(image.digests),
        "diff_ids": list(image.diff_ids),
        "reference": image.reference,
    }


def _errors(items: Sequence[ItemError]) -> list[Response]:
    return [{"digest": one.digest, "code": one.code, "message": one.message} for one in items]


# --- what each verb does ------------------------------------------------------------------------


def _info(_stores: Stores, _request: Mapping[str, Any]) -> Response:
    return {"name": "layerfs", "version": __version__, "protocol": PROTOCOL}


def _open(stores: Stores, request: Mapping[str, Any]) -> Response:
    limits = None
    if request["limits"]:
        from layerfs.limits import Limits  # noqa: PLC0415 - seldom given

        limits = Limits.of(request["limits"])
    store = stores.open(
        request["store"], readonly=request["readonly"], limits=limits, zfs=request["zfs"]
    )
    return {"store": os.fspath(store.root)}


def _close(stores: Stores, request: Mapping[str, Any]) -> Response:
    stores.end(request["store"])
    return {}


def _add(stores: Stores, request: Mapping[str, Any]) -> Response:
    layer = stores.get(request["store"]).add_layer(
        request["path"],
        request["media_type"],
        digest=request["digest"],
        size=request["size"],
        diff_id=request["diff_id"],
        dependencies=request["dependencies"],
        progress=stores.progress,
    )
    return {"layer": _layer(layer)}


def _get(stores: Stores, request: Mapping[str, Any]) -> Response:
    return {"layer": _layer(stores.get(request["store"]).get_layer(request["digest"]))}


def _list(stores: Stores, request: Mapping[str, Any]) -> Response:
    return {"layers": [_layer(one) for one in stores.get(request["store"]).layers()]}


def _remove(stores: Stores, request: Mapping[str, Any]) -> Response:
    return {"removed": stores.get(request["store"]).remove_layer(request["digest"])}


def _stack(stores: Stores, request: Mapping[str, Any]) -> Response:
    mount = stores.get(request["store"]).stack(
        request["digests"], request["target"], writable=request["writable"]
    )
    return {"mount": _mount(mount)}


def _mount_one(stores: Stores, request: Mapping[str, Any]) -> Response:
    mount = stores.get(request["store"]).mount_layer(request["digest"], request["target"])
    return {"mount": _mount(mount)}


def _unmount(stores: Stores, request: Mapping[str, Any]) -> Response:
    stores.get(request["store"]).unmount(request["target"])
    return {}


def _mounts(stores: Stores, request: Mapping[str, Any]) -> Response:
    return {"mounts": [_mount(one) for one in stores.get(request["store"]).mounts()]}


def _commit(stores: Stores, request: Mapping[str, Any]) -> Response:
    store = stores.get(request["store"])
    return {"layer": _layer(store.commit(request["target"], progress=stores.progress))}


def _merge(stores: Stores, request: Mapping[str, Any]) -> Response:
    store = stores.get(request["store"])
    return {"layer": _layer(store.merge(request["digests"], progress=stores.progress))}


def _order(stores: Stores, request: Mapping[str, Any]) -> Response:
    return {"digests": list(stores.get(request["store"]).order(request["digests"]))}


def _check_cycles(stores: Stores, request: Mapping[str, Any]) -> Response:
    stores.get(request["store"]).check_cycles()
    return {}


def _verify(stores: Stores, request: Mapping[str, Any]) -> Response:
    damaged = stores.get(request["store"]).verify(request["digests"])
    return {
        "damaged": [
            {"digest": one.digest, "path": one.path, "problem": one.problem} for one in damaged
        ]
    }


def _repair(stores: Stores, request: Mapping[str, Any]) -> Response:
    report = stores.get(request["store"], recover=True).repair(request["digests"])
    return {
        "repaired": list(report.repaired),
        "mended": list(report.mended),
        "failed": _errors(report.failed),
    }


def _lease(stores: Stores, request: Mapping[str, Any]) -> Response:
    stores.get(request["store"]).lease(request["name"], request["digests"])
    return {}


def _release(stores: Stores, request: Mapping[str, Any]) -> Response:
    stores.get(request["store"]).release(request["name"])
    return {}


def _gc(stores: Stores, request: Mapping[str, Any]) -> Response:
    report = stores.get(request["store"]).collect_garbage(
        dry_run=request["dry_run"], force=request["force"]
    )
    return {
        "removed": [{"digest": digest} for digest in report.removed],
        "bytes_freed": report.bytes_freed,
        "errors": _errors(report.errors),
    }


def _stats(stores: Stores, request: Mapping[str, Any]) -> Response:
    stats = stores.get(request["store"]).stats()
    return {
        "layers": stats.layers,
        "mounted": stats.mounted,
        "referenced": stats.referenced,
        "unused": stats.unused,
        "mounts": stats.mounts,
        "bytes_total": stats.bytes_total,
        "zfs": None if stats.space is None else stats.space._asdict(),
    }


def _check(stores: Stores, request: Mapping[str, Any]) -> Response:
    problems = stores.get(request["store"]).check()
    return {
        "problems": [
            {"kind": one.kind, "message": one.message, "digest": one.digest, "path": one.path}
            for one in problems
        ]
    }


def _import(stores: Stores, request: Mapping[str, Any]) -> Response:
    image = stores.get(request["store"]).import_image(
        request["path"], request["reference"], progress=stores.progress
    )
    return {"image": _image(image)}


def _export(stores: Stores, request: Mapping[str, Any]) -> Response:
    manifest = stores.get(request["store"]).export_image(
        request["path"],
        request["digests"],
        request["image"],
        request["reference"],
        progress=stores.progress,
    )
    return {"manifest": manifest}


def _images(stores: Stores, request: Mapping[str, Any]) -> Response:
    return {"images": [_image(one) for one in stores.get(request["store"]).images()]}


def _untag(stores: Stores, request: Mapping[str, Any]) -> Response:
    return {"removed": stores.get(request["store"]).remove_image(request["image"])}


def _send(stores: Stores, request: Mapping[str, Any]) -> Response:
    stores.get(request["store"]).send(
        request["digests"], request["path"], since=request["since"], progress=stores.progress
    )
    return {}


def _receive(stores: Stores, request: Mapping[str, Any]) -> Response:
    return receive_from(stores, request, request["path"])


def receive_from(stores: Stores, request: Mapping[str, Any], source: str | BinaryIO) -> Response:
    """Receive a stack, also from a stream, which no request can name."""
    layers = stores.get(request["store"]).receive(
        source, blobs_only=request["blobs_only"], progress=stores.progress
    )
    return {"layers": [_layer(one) for one in layers]}


_STORE: Final = {"store": fields.PATH}
_DIGEST: Final = {"digest": fields.TEXT}
_TARGET: Final = {"target": fields.TEXT}
_DIGESTS: Final = {"digests": fields.TEXTS}
_ANY_DIGESTS: Final = {"digests": fields.TEXTS.or_null()}

#: All verbs, in the order of PROTOCOL.md.
VERBS: Final[Mapping[str, Verb]] = {
    "info": Verb({}, _info),
    "open": Verb(
        {
            **_STORE,
            "readonly": fields.FLAG,
            "limits": fields.COUNTS.otherwise({}),
            "zfs": fields.TEXT.or_null(),
        },
        _open,
    ),
    "close": Verb(_STORE, _close),
    "add": Verb(
        {
            **_STORE,
            "path": fields.PATH,
            "media_type": fields.TEXT.otherwise("application/vnd.oci.image.layer.v1.tar"),
            "digest": fields.TEXT.or_null(),
            "size": fields.COUNT.or_null(),
            "diff_id": fields.TEXT.or_null(),
            "dependencies": fields.TEXTS.otherwise(()),
        },
        _add,
    ),
    "get": Verb({**_STORE, **_DIGEST}, _get),
    "list": Verb(_STORE, _list),
    "remove": Verb({**_STORE, **_DIGEST}, _remove),
    "stack": Verb({**_STORE, **_DIGESTS, **_TARGET, "writable": fields.FLAG}, _stack),
    "unmount": Verb({**_STORE, **_TARGET}, _unmount),
    "mounts": Verb(_STORE, _mounts),
    "mount": Verb({**_STORE, **_DIGEST, **_TARGET}, _mount_one),
    "commit": Verb({**_STORE, **_TARGET}, _commit),
    "merge": Verb({**_STORE, **_DIGESTS}, _merge),
    "order": Verb({**_STORE, **_ANY_DIGESTS}, _order),
    "check-cycles": Verb(_STORE, _check_cycles),
    "verify": Verb({**_STORE, **_ANY_DIGESTS}, _verify),
    "repair": Verb({**_STORE, **_ANY_DIGESTS}, _repair),
    "lease": Verb({**_STORE, "name": fields.NAME, **_DIGESTS}, _lease),
    "release": Verb({**_STORE, "name": fields.NAME}, _release),
    "gc": Verb({**_STORE, "dry_run": fields.FLAG, "force": fields.FLAG}, _gc),
    "stats": Verb(_STORE, _stats),
    "check": Verb(_STORE, _check),
    "import": Verb({**_STORE, "path": fields.PATH, "reference": fields.NAME.or_null()}, _import),
    "export": Verb(
        {
            **_STORE,
            "path": fields.PATH,
            **_ANY_DIGESTS,
            "image": fields.NAME.or_null(),
            "reference": fields.NAME.otherwise("latest"),
        },
        _export,
    ),
    "images": Verb(_STORE, _images),
    "untag": Verb({**_STORE, "image": fields.NAME}, _untag),
    "send": Verb(
        {**_STORE, **_DIGESTS, "path": fields.PATH, "since": fields.TEXTS.otherwise(())}, _send
    ),
    "receive": Verb({**_STORE, "path": fields.PATH, "blobs_only": fields.FLAG}, _receive),
}
