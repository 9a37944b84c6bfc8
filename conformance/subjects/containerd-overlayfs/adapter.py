"""containerd, by its command ctr: layers are images of one layer, views are mounted images.

Each store has a daemon of its own, with root, state and socket in the store. It collects garbage
only where it is asked to (``--sync``), which is a matter of its configuration. What a store has is
in containerd alone: a layer is an image that is named for its digest, a view one that is named for
its target. Every view is mounted and unmounted by ``ctr images mount`` and ``unmount``, which take
the target for the snapshot's key.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
from collections.abc import Iterator
from typing import Any, Final

import daemons
import datasets
import images
import views
from protocol import Json, Refusal, program, serve

SNAPSHOTTER: Final = os.environ["CONTAINERD_SNAPSHOTTER"]
_CONFIG: Final = """\
version = 2
root = {root}
state = {state}
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = {socket}
[plugins."io.containerd.gc.v1.scheduler"]
deletion_threshold = 0
mutation_threshold = 0
startup_delay = "8760h"
"""
_COMPLAINTS: Final = (
    (r"failed to dial", "storage-error"),
    (r"unexpected commit (digest|size)|failed to read expected number of bytes", "digest-mismatch"),
    (r"wrong diff id calculated", "digest-mismatch"),
    (r"gzip: invalid (header|checksum)|flate: corrupt input", "decompression-error"),
    (r"magic number mismatch|CRC check failed", "decompression-error"),
    (r"archive/tar: (invalid|sparse file)|unhandled tar header type", "validation-error"),
    (r"no processor for media-type", "validation-error"),
    (r"window size exceeded", "limit-exceeded"),
    (r"invalid whiteout name", "hostile-layer"),
    (r"(mkparent|open|mkdir) .*: not a directory", "invalid-layer-path"),
    (r"link .*: operation not permitted", "hostile-layer"),  # link(2), EPERM: to a directory
    (r"link .*: no such file or directory", "invalid-layer-path"),
    (r"(open|mkdir|mknod|link|symlink) .*: file name too long", "invalid-layer-path"),
    (r"no space left on device", "write-failed"),
    (r"device or resource busy", "unmount-failed"),
)
_numbers = itertools.count()


def ctr(store: str, *words: str, more: tuple[tuple[str, str], ...] = (), **streams: Any) -> bytes:
    """Run ctr against the store's daemon. Raises Refusal."""
    argv = ["ctr", "--address", _socket(store), "--namespace", "conformance", *words]
    return program(argv, (*more, *_COMPLAINTS), **streams)


# --- the daemon -----------------------------------------------------------------------------------


def open_(request: Json) -> Json:
    store = request["store"]
    if request["readonly"] or request["limits"]:
        raise Refusal("unsupported", "a store that is read-only, or has other limits")
    try:
        os.makedirs(store, exist_ok=True)
    except OSError as error:
        raise Refusal("storage-error", f"{store}: {error.strerror}") from None
    if daemons.at(_socket(store)) is None:
        if request["zfs"] is not None:
            datasets.create(request["zfs"])
            datasets.mount(request["zfs"], _dataset_at(store))
        _start(store)
    views.end(store, _views(store), unmount, gone=True)
    return {"store": store}


def _dataset_at(store: str) -> str:
    """Return where the zfs snapshotter wants its dataset to be mounted."""
    return f"{store}/root/io.containerd.snapshotter.v1.zfs"


def close(request: Json) -> Json:
    store = request["store"]
    views.end(store, _views(store), unmount, gone=False)
    daemon = daemons.at(_socket(store))
    if daemon is not None:
        daemons.stop(daemon)
    datasets.unmount(_dataset_at(store))
    return {}


def _socket(store: str) -> str:
    return f"{store}/containerd.sock"


def _start(store: str) -> None:
    places = {"root": f"{store}/root", "state": f"{store}/state", "socket": _socket(store)}
    texts = {name: json.dumps(path, ensure_ascii=False) for name, path in places.items()}
    with open(f"{store}/config.toml", "w", encoding="utf-8") as file:
        file.write(_CONFIG.format(**texts))
    command = 'containerd --config "$0/config.toml"'
    daemons.start(command, store, _socket(store), f"{store}/log")


# --- images ---------------------------------------------------------------------------------------


def _names(store: str) -> dict[str, str]:
    """Return the manifest's digest of each image, by name."""
    lines = ctr(store, "images", "ls").decode().splitlines()[1:]
    return {words[0]: words[2] for words in map(str.split, lines)}


def _manifest(store: str, digest: str) -> Json:
    found: Json = json.loads(ctr(store, "content", "get", digest))
    return found


def _layers(store: str, digests: list[str]) -> list[Json]:
    """Return the manifest of each layer."""
    names, found = _names(store), {}
    for digest in dict.fromkeys(digests):
        manifest = names.get(f"layer/{digest}")
        if manifest is None:
            raise Refusal("layer-not-found", f"no layer {digest}", digest=digest)
        found[digest] = _manifest(store, manifest)
    return [found[digest] for digest in digests]


@contextlib.contextmanager
def _unpacked(
    store: str, layers: list[Json], cut_off: str = "validation-error", **annotations: str
) -> Iterator[str]:
    """Give the name of an image of layers that containerd has unpacked; it is gone afterwards."""
    name = f"new/{os.getpid()}-{next(_numbers)}"
    image = images.image(name, layers, **annotations)
    archive = images.archive(images.layout(*image, **{"io.containerd.image.name": name}))
    try:
        ctr(
            store, "images", "import", "--snapshotter", SNAPSHOTTER, "-",
            stdin=archive, more=((r"unexpected EOF", cut_off),),
        )  # fmt: skip
        yield name
    except BaseException:
        if name in _names(store):
            ctr(store, "images", "rm", "--sync", name)
        raise
    ctr(store, "images", "rm", "--sync", name)


# --- layers ---------------------------------------------------------------------------------------


def add(request: Json) -> Json:
    store = request["store"]
    with images.blob(request["path"]) as source:
        layer, cut_off = images.told(source, request)
        ctr(
            store, "content", "ingest", "--expected-digest", layer["digest"],
            "--expected-size", str(layer["size"]), f"{os.getpid()}-{next(_numbers)}", stdin=source,
        )  # fmt: skip
    return _kept(store, layer, cut_off)


def _kept(store: str, layer: Json, cut_off: str = "validation-error") -> Json:
    """Make a layer of a blob that is in the content store."""
    with _unpacked(store, [layer], cut_off) as name:
        ctr(store, "images", "tag", "--force", name, f"layer/{layer['digest']}")
    return {"layer": images.layer({"layers": [layer]})}


def get(request: Json) -> Json:
    return {"layer": images.layer(*_layers(request["store"], [request["digest"]]))}


def list_(request: Json) -> Json:
    store = request["store"]
    manifests = [one for name, one in _names(store).items() if name.startswith("layer/")]
    return {"layers": [images.layer(_manifest(store, one)) for one in manifests]}


def remove(request: Json) -> Json:
    store, name = request["store"], f"layer/{request['digest']}"
    if name not in _names(store):
        return {"removed": False}
    ctr(store, "images", "rm", "--sync", name)
    return {"removed": True}


# --- views ----------------------------------------------------------------------------------------


def _view(target: str) -> str:
    """Return the name of a view's image; names of images have no spaces."""
    return f"view/{base64.urlsafe_b64encode(os.fsencode(target)).decode()}"


def _views(store: str) -> list[Json]:
    found = [one for name, one in _names(store).items() if name.startswith("view/")]
    return [views.told(_manifest(store, one)) for one in found]


def stack(request: Json) -> Json:
    store, target, writable = request["store"], request["target"], request["writable"]
    layers = [manifest["layers"][0] for manifest in _layers(store, request["digests"])]
    words = ["images", "mount", "--snapshotter", SNAPSHOTTER, *(["--rw"] if writable else [])]
    refused = (r"no such file or directory|invalid argument|too many levels", "mount-failed")
    taken = (r"already exists|not a directory", "invalid-mount-point")
    about = {"target": target, "writable": str(writable), "made": views.mark(target)}
    with contextlib.ExitStack() as undo:
        with _unpacked(store, layers, **about) as name:
            ctr(store, "images", "tag", name, _view(target), more=(taken,))
        undo.callback(ctr, store, "images", "rm", "--sync", _view(target))
        with views.target(target, about["made"]):
            ctr(store, *words, _view(target), target, more=(taken, refused))
        undo.pop_all()
    return {"mount": {"target": target, "digests": request["digests"], "writable": writable}}


def mount(request: Json) -> Json:
    digests = [request.pop("digest")]
    return stack({**request, "digests": digests, "writable": False})


def _found(store: str, target: str) -> Json:
    """Return the manifest of a view's image."""
    manifest = _names(store).get(_view(target))
    if manifest is None:
        raise Refusal("invalid-mount-point", f"no view at {target}")
    return _manifest(store, manifest)


def unmount(request: Json) -> Json:
    store, target = request["store"], request["target"]
    view = _found(store, target)
    ctr(store, "images", "unmount", "--snapshotter", SNAPSHOTTER, "--rm", target)
    views.leave(target, view["annotations"]["made"])
    ctr(store, "images", "rm", "--sync", _view(target))  # at last, for open finishes the rest
    return {}


def mounts(request: Json) -> Json:
    return {"mounts": _views(request["store"])}


def commit(request: Json) -> Json:
    store, target = request["store"], request["target"]
    if not views.told(_found(store, target))["writable"]:
        raise Refusal("read-only-filesystem", f"the view at {target} is read-only")
    data = ctr(
        store, "snapshots", "--snapshotter", SNAPSHOTTER, "diff", "--keep",
        "--media-type", images.TAR, target,
    )  # fmt: skip
    digest = images.sha256(data)
    added = _kept(store, images.described(images.TAR, digest, len(data), digest))
    ctr(store, "content", "label", digest, "containerd.io/gc.root=")
    return added


def info(_: Json) -> Json:
    version = program(["containerd", "--version"]).decode().split()[2]
    return {"name": f"containerd, {SNAPSHOTTER}", "version": version, "protocol": 1}


serve(
    {
        "info": info, "open": open_, "close": close, "add": add, "get": get, "list": list_,
        "remove": remove, "stack": stack, "mount": mount, "unmount": unmount, "mounts": mounts,
        "commit": commit,
    }
)  # fmt: skip
