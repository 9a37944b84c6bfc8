"""umoci: a store is an image layout, a layer the image of it alone, a view an unpacked bundle.

umoci takes no compressed layer in by itself, so the adapter writes blobs and tags into the layout
as any tool that builds images does; unpacking, repacking, untagging and collecting are umoci's. A
view is the bundle's root file system, bound to the target, read-only where that is asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from typing import Final

import images
import views
from protocol import Json, Refusal, program, serve

_REFERENCE: Final = "org.opencontainers.image.ref.name"
_COMPLAINTS: Final = (
    (r"(digest|size|diffid) mismatch|expected size|verified reader", "digest-mismatch"),
    (r"gzip: invalid (header|checksum)|create gzip reader|flate: corrupt", "decompression-error"),
    (r"archive/tar: (invalid|sparse file)|unknown typeflag", "validation-error"),
    (r"blob is not correct mediatype", "validation-error"),
    (r"malicious tar entry|too many levels of symbolic links", "hostile-layer"),
    (r": link: operation not permitted", "hostile-layer"),  # link(2), EPERM: to a directory
    (r": link: no such file or directory|file name too long", "invalid-layer-path"),
    (r"mkdir parent: .*: not a directory", "invalid-layer-path"),
    (r"no space left on device", "write-failed"),
)
_numbers = itertools.count()


def umoci(*words: str) -> bytes:
    """Run umoci. Raises Refusal."""
    return program(["umoci", *words], _COMPLAINTS)


# --- the layout -----------------------------------------------------------------------------------


def open_(request: Json) -> Json:
    store = request["store"]
    if request["readonly"] or request["limits"]:
        raise Refusal("unsupported", "a store that is read-only, or has other limits")
    try:
        os.makedirs(f"{store}/views", exist_ok=True)
    except OSError as error:
        raise Refusal("storage-error", f"{store}: {error.strerror}") from None
    if not os.path.exists(f"{store}/layout"):
        umoci("init", "--layout", f"{store}/layout")
    views.end(store, mounts({"store": store})["mounts"], unmount, gone=True)
    return {"store": store}


def close(request: Json) -> Json:
    store = request["store"]
    views.end(store, mounts({"store": store})["mounts"], unmount, gone=False)
    return {}


def _index(store: str) -> Json:
    try:
        with open(f"{store}/layout/index.json", "rb") as file:
            found: Json = json.load(file)
    except OSError as error:
        raise Refusal("storage-error", f"{store} is no store: {error.strerror}") from None
    return found


def _tags(store: str, prefix: str = "") -> dict[str, str]:
    """Return the manifest's digest of each tag."""
    entries = _index(store).get("manifests") or []
    tags = {one["annotations"][_REFERENCE]: one["digest"] for one in entries}
    return {tag: digest for tag, digest in tags.items() if tag.startswith(prefix)}


def _manifest(store: str, tag: str) -> Json | None:
    digest = _tags(store).get(tag)
    if digest is None:
        return None
    with open(f"{store}/layout/{images.path_of(digest)}", "rb") as file:
        found: Json = json.load(file)
    return found


def _tag(store: str, tag: str, layers: list[Json], **annotations: str) -> None:
    """Write an image of layers, and its tag, instead of an older one."""
    image = images.image(tag, layers, **annotations)
    for blob in image:
        _write(f"{store}/layout/{images.path_of(images.sha256(blob))}", blob)
    new = images.descriptor(
        images.MANIFEST, images.sha256(image[0]), len(image[0]), {_REFERENCE: tag}
    )
    index = _index(store)
    others = [one for one in index.get("manifests") or [] if one["annotations"][_REFERENCE] != tag]
    _write(
        f"{store}/layout/index.json", json.dumps({**index, "manifests": [*others, new]}).encode()
    )


def _write(path: str, data: bytes) -> None:
    with open(f"{path}.new", "wb") as file:
        file.write(data)
    os.rename(f"{path}.new", path)


def _untag(store: str, tag: str) -> None:
    umoci("remove", "--image", f"{store}/layout:{tag}")
    umoci("gc", "--layout", f"{store}/layout")


# --- layers ---------------------------------------------------------------------------------------


def _layer_tag(digest: str) -> str:
    return f"layer-{digest.replace(':', '-')}"


def _layer(store: str, digest: str) -> Json:
    """Return a layer's manifest."""
    found = _manifest(store, _layer_tag(digest))
    if found is None:
        raise Refusal("layer-not-found", f"no layer {digest}", digest=digest)
    return found


def add(request: Json) -> Json:
    store = request["store"]
    _index(store)
    with images.blob(request["path"]) as source:
        layer, cut_off = images.told(source, request)
        path = f"{store}/layout/{images.path_of(layer['digest'])}"
        if not os.path.exists(path):
            with open(f"{path}.new", "wb") as file:
                shutil.copyfileobj(source, file)
            os.rename(f"{path}.new", path)
    with _tried(store, layer, cut_off):
        _tag(store, _layer_tag(layer["digest"]), [layer])
    return get({"store": store, "digest": layer["digest"]})


@contextlib.contextmanager
def _tried(store: str, layer: Json, cut_off: str) -> Iterator[None]:
    """Unpack a layer alone, for umoci to look at it; its tag and tree are gone afterwards."""
    number = f"{os.getpid()}-{next(_numbers)}"
    _tag(store, f"new-{number}", [layer])
    try:
        _unpack(store, f"new-{number}", f"{store}/new-{number}", cut_off)
        yield
    finally:
        shutil.rmtree(f"{store}/new-{number}", ignore_errors=True)
        _untag(store, f"new-{number}")


def _unpack(store: str, tag: str, bundle: str, cut_off: str = "validation-error") -> None:
    words = ["umoci", "unpack", "--image", f"{store}/layout:{tag}", bundle]
    program(words, (*_COMPLAINTS, (r"unexpected EOF", cut_off)))


def get(request: Json) -> Json:
    return {"layer": images.layer(_layer(request["store"], request["digest"]))}


def list_(request: Json) -> Json:
    store = request["store"]
    manifests = [_manifest(store, tag) for tag in _tags(store, "layer-")]
    return {"layers": [images.layer(one) for one in manifests if one]}


def remove(request: Json) -> Json:
    store, tag = request["store"], _layer_tag(request["digest"])
    if tag not in _tags(store):
        return {"removed": False}
    _untag(store, tag)
    return {"removed": True}


# --- views ----------------------------------------------------------------------------------------


def _key(target: str) -> str:
    return f"view-{hashlib.sha256(os.fsencode(target)).hexdigest()}"


def _view(store: str, target: str) -> Json:
    """Return a view's manifest."""
    found = _manifest(store, _key(target))
    if found is None:
        raise Refusal("invalid-mount-point", f"no view at {target}")
    return found


def stack(request: Json) -> Json:
    store, target, writable = request["store"], request["target"], request["writable"]
    layers = [_layer(store, digest)["layers"][0] for digest in request["digests"]]
    key = _key(target)
    bundle = f"{store}/views/{key}"
    if key in _tags(store):
        raise Refusal("invalid-mount-point", f"there is a view at {target}")
    with contextlib.ExitStack() as undo:
        made = views.mark(target)
        _tag(store, key, layers, target=target, writable=str(writable), made=made)
        undo.callback(_untag, store, key)
        undo.callback(shutil.rmtree, bundle, ignore_errors=True)
        _unpack(store, key, bundle)
        with views.target(target, made):
            views.bind(f"{bundle}/rootfs", target, writable=writable)
        undo.pop_all()
    return {"mount": {"target": target, "digests": request["digests"], "writable": writable}}


def mount(request: Json) -> Json:
    digests = [request.pop("digest")]
    return stack({**request, "digests": digests, "writable": False})


def unmount(request: Json) -> Json:
    store, target = request["store"], request["target"]
    view = _view(store, target)
    views.unbind(target)
    shutil.rmtree(f"{store}/views/{_key(target)}", ignore_errors=True)
    views.leave(target, view["annotations"]["made"])
    _untag(store, _key(target))  # at last: until then, open finishes what was interrupted
    return {}


def mounts(request: Json) -> Json:
    store = request["store"]
    manifests = [_manifest(store, tag) for tag in _tags(store, "view-")]
    return {"mounts": [views.told(one) for one in manifests if one]}


def commit(request: Json) -> Json:
    store, target = request["store"], request["target"]
    if not views.told(_view(store, target))["writable"]:
        raise Refusal("read-only-filesystem", f"the view at {target} is read-only")
    tag = f"new-{os.getpid()}-{next(_numbers)}"
    umoci("repack", "--image", f"{store}/layout:{tag}", f"{store}/views/{_key(target)}")
    repacked = _manifest(store, tag) or {}
    with open(f"{store}/layout/{images.path_of(repacked['config']['digest'])}", "rb") as file:
        diff_id = json.load(file)["rootfs"]["diff_ids"][-1]
    new = repacked["layers"][-1]
    layer = images.described(new["mediaType"], new["digest"], new["size"], diff_id)
    _tag(store, _layer_tag(layer["digest"]), [layer])
    _untag(store, tag)
    return {"layer": images.layer(_layer(store, layer["digest"]))}


def info(_: Json) -> Json:
    version = program(["umoci", "--version"]).decode().split()[-1]
    return {"name": "umoci", "version": version, "protocol": 1}


serve(
    {
        "info": info, "open": open_, "close": close, "add": add, "get": get, "list": list_,
        "remove": remove, "stack": stack, "mount": mount, "unmount": unmount, "mounts": mounts,
        "commit": commit,
    }
)  # fmt: skip
