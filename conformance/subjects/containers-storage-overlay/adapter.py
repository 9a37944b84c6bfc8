"""containers-storage, by its own command and skopeo: layers are images, views are containers.

Layers come in as in podman and CRI-O: skopeo copies an image from a layout, which the adapter makes
of the blobs that it keeps beside the storage, since the storage keeps none. A view is a container
of an image of its layers; what the storage mounts for it is bound to the target, read-only where
that is asked for. What a store has is in the storage's own records, names and metadata alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Final

import datasets
import images
import views
from protocol import Json, Refusal, program, serve

DRIVER: Final = os.environ["STORAGE_DRIVER"]
_COMPLAINTS: Final = (
    (r"[Dd]igest did not match|digest mismatch|diffID|does not match config", "digest-mismatch"),
    (r"gzip: invalid (header|checksum)|flate: corrupt input", "decompression-error"),
    (r"magic number mismatch|CRC check failed", "decompression-error"),
    (r"archive/tar: (invalid|sparse file)|[Uu]nhandled tar header type", "validation-error"),
    (r"duplicates of file paths not supported", "validation-error"),
    (r"unsupported MIME type|[Uu]nsupported (schema|media)", "validation-error"),
    (r"invalid (symlink|hardlink)|is outside of", "hostile-layer"),
    # An error number alone is linkat(2)'s; the others come with what was done, and to which path.
    (r"(\(|\\n)operation not permitted\)", "hostile-layer"),  # EPERM: to a directory
    (r"(\(|\\n)no such file or directory\)", "invalid-layer-path"),
    (
        r"(open|mkdir|mknod|symlink) [^(]*: (file name too long|not a directory)",
        "invalid-layer-path",
    ),
    (r"file\((open|mkdir|mknod|symlink|chtimes) /.*: no such file", "invalid-layer-path"),
    (r"file\((open|mkdir|mknod|symlink) /.*: file exists", "invalid-layer-path"),
    (r"(open|mkdir|mknod|symlink) [^(]*: too many levels of symbolic links", "hostile-layer"),
    (r"max depth exceeded|[Ww]indow size exceeded", "limit-exceeded"),
    (r"locating image with ID|image not known", "layer-not-found"),
    (r"reading blob [^\n]*: no such file or directory", "layer-not-found"),
    (r"name is already in use", "invalid-mount-point"),
    (r"no space left on device", "write-failed"),
    (r"device or resource busy", "unmount-failed"),
)
_numbers = itertools.count()


def storage(store: str, *words: str) -> bytes:
    """Run containers-storage on a store. Raises Refusal."""
    command, *rest = words
    return program(["containers-storage", command, *rest], _COMPLAINTS, env=_environment(store))


def _environment(store: str) -> dict[str, str]:
    """Return what has both programs use the store's configuration, and no other."""
    configuration = f"{store}/storage.conf"
    if not os.path.isfile(configuration):
        raise Refusal("storage-error", f"{store} is no store")
    return {**os.environ, "CONTAINERS_STORAGE_CONF": configuration}


# --- the store ------------------------------------------------------------------------------------


def open_(request: Json) -> Json:
    store, dataset = request["store"], request["zfs"]
    if request["readonly"] or request["limits"]:
        raise Refusal("unsupported", "a store that is read-only, or has other limits")
    try:
        os.makedirs(f"{store}/blobs/sha256", exist_ok=True)
    except OSError as error:
        raise Refusal("storage-error", f"{store}: {error.strerror}") from None
    if not os.path.exists(f"{store}/storage.conf"):
        if dataset is not None:
            datasets.create(dataset)
        places = {"driver": DRIVER, "graphroot": f"{store}/graph", "runroot": f"{store}/run"}
        lines = [
            f"{name} = {json.dumps(text, ensure_ascii=False)}" for name, text in places.items()
        ]
        options = [] if dataset is None else ["[storage.options.zfs]", f'fsname = "{dataset}"']
        with open(f"{store}/storage.conf", "w", encoding="utf-8") as file:
            file.write("\n".join(["[storage]", *lines, *options, ""]))
    storage(store, "status")
    views.end(store, _views(store), unmount, gone=True)
    return {"store": store}


def close(request: Json) -> Json:
    store = request["store"]
    views.end(store, _views(store), unmount, gone=False)
    storage(store, "shutdown")
    return {}


# --- layers ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _layout(store: str, name: str, layers: list[Json]) -> Iterator[str]:
    """Give a layout of an image of layers, without their blobs; it is gone afterwards."""
    path = f"{store}/new-{os.getpid()}-{next(_numbers)}"
    try:
        for part, data in images.layout(*images.image(name, layers)).items():
            os.makedirs(os.path.dirname(f"{path}/{part}"), exist_ok=True)
            with open(f"{path}/{part}", "wb") as file:
                file.write(data)
        yield path
    finally:
        shutil.rmtree(path)


def _copied(store: str, layout: str, name: str, cut_off: str = "validation-error") -> None:
    """Have skopeo put the image of a layout into the storage, by its name there."""
    words = ["skopeo", "--insecure-policy", "--tmpdir", tempfile.gettempdir(), "copy", "--quiet"]
    program(
        [*words, f"oci:{layout}", f"containers-storage:{name}"],
        (*_COMPLAINTS, (r"\bEOF\b", cut_off)),
        env=_environment(store),
    )


def _layer_name(digest: str) -> str:
    return f"localhost/layer:{digest.replace(':', '-')}"


def _layer(store: str, digest: str) -> Json:
    """Return a layer's manifest."""
    if _layer_name(digest) not in _names(store):
        raise Refusal("layer-not-found", f"no layer {digest}", digest=digest)
    return _manifest(store, _layer_name(digest))


def _names(store: str) -> list[str]:
    listed = json.loads(storage(store, "images", "--json")) or []
    return [name for image in listed for name in image.get("names", ())]


def _manifest(store: str, name: str) -> Json:
    found: Json = json.loads(storage(store, "get-image-data", name, "manifest"))
    return found


def add(request: Json) -> Json:
    store = request["store"]
    with images.blob(request["path"]) as source:
        layer, cut_off = images.told(source, request)
        name = _layer_name(layer["digest"])
        with _layout(store, name, [layer]) as layout:
            blob = f"{layout}/{images.path_of(layer['digest'])}"
            os.makedirs(os.path.dirname(blob), exist_ok=True)
            with open(blob, "wb") as file:
                shutil.copyfileobj(source, file)
            _copied(store, layout, name, cut_off)
            os.rename(blob, f"{store}/{images.path_of(layer['digest'])}")
    return {"layer": images.layer(_manifest(store, name))}


def get(request: Json) -> Json:
    return {"layer": images.layer(_layer(request["store"], request["digest"]))}


def list_(request: Json) -> Json:
    store = request["store"]
    names = [name for name in _names(store) if name.startswith("localhost/layer:")]
    return {"layers": [images.layer(_manifest(store, name)) for name in names]}


def remove(request: Json) -> Json:
    store, digest = request["store"], request["digest"]
    if _layer_name(digest) not in _names(store):
        return {"removed": False}
    storage(store, "delete-image", _layer_name(digest))
    with contextlib.suppress(FileNotFoundError):
        os.remove(f"{store}/{images.path_of(digest)}")
    return {"removed": True}


# --- views ----------------------------------------------------------------------------------------


def _key(target: str) -> str:
    return hashlib.sha256(os.fsencode(target)).hexdigest()


def _containers(store: str) -> list[Json]:
    found: list[Json] = json.loads(storage(store, "containers", "--json")) or []
    return found


def _views(store: str) -> list[Json]:
    return [json.loads(one["metadata"]) for one in _containers(store)]


def _container(store: str, target: str) -> Json:
    for one in _containers(store):
        if _key(target) in one["names"]:
            return one
    raise Refusal("invalid-mount-point", f"no view at {target}")


def stack(request: Json) -> Json:
    store, target, writable = request["store"], request["target"], request["writable"]
    layers = [_layer(store, digest)["layers"][0] for digest in request["digests"]]
    view = {"target": target, "digests": request["digests"], "writable": writable}
    key, made = _key(target), views.mark(target)
    image = f"localhost/view:{key[:32]}-{os.getpid()}-{next(_numbers)}"
    with contextlib.ExitStack() as undo:
        with _layout(store, image, layers) as layout:
            for layer in layers:
                path = images.path_of(layer["digest"])
                with contextlib.suppress(FileExistsError, FileNotFoundError):
                    os.link(f"{store}/{path}", f"{layout}/{path}")
            _copied(store, layout, image)
        undo.callback(storage, store, "delete-image", image)
        about = json.dumps({**view, "image": image, "made": made})
        storage(store, "create-container", "--name", key, "--metadata", about, image)
        undo.callback(storage, store, "delete-container", key)
        source = storage(store, "mount", key).removesuffix(b"\n")
        undo.callback(storage, store, "unmount", key)
        with views.target(target, made):
            views.bind(os.fsdecode(source), target, writable=writable)
        undo.pop_all()
    return {"mount": view}


def mount(request: Json) -> Json:
    digests = [request.pop("digest")]
    return stack({**request, "digests": digests, "writable": False})


def unmount(request: Json) -> Json:
    store, target = request["store"], request["target"]
    view = json.loads(_container(store, target)["metadata"])
    views.unbind(target)
    storage(store, "unmount", _key(target))
    views.leave(target, view["made"])
    # At last: until then, open finishes what was interrupted.
    storage(store, "delete-container", _key(target))
    storage(store, "delete-image", view["image"])
    return {}


def mounts(request: Json) -> Json:
    return {"mounts": _views(request["store"])}


def commit(request: Json) -> Json:
    store, target = request["store"], request["target"]
    container = _container(store, target)
    if not json.loads(container["metadata"])["writable"]:
        raise Refusal("read-only-filesystem", f"the view at {target} is read-only")
    path = f"{store}/diff-{os.getpid()}-{next(_numbers)}"
    try:
        storage(store, "diff", "--uncompressed", "--file", path, container["layer"])
        told = {"media_type": images.TAR, "digest": None, "size": None, "diff_id": None}
        return add({"store": store, "path": path, **told})
    finally:
        os.remove(path)


def info(_: Json) -> Json:
    said = program(["dpkg-query", "--show", "--showformat=${Version}", "containers-storage"])
    return {"name": f"containers-storage, {DRIVER}", "version": said.decode(), "protocol": 1}


serve(
    {
        "info": info, "open": open_, "close": close, "add": add, "get": get, "list": list_,
        "remove": remove, "stack": stack, "mount": mount, "unmount": unmount, "mounts": mounts,
        "commit": commit,
    }
)  # fmt: skip
