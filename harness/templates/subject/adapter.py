"""A toy store behind the conformance protocol, version 1: put your own store's calls in its verbs.

The toy keeps archives in a directory, and a view is what tar(1) makes of them, mounted read-only.
Python 3.9 or later, standard library only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from typing import Any, NamedTuple

sys.dont_write_bytecode = True  # nothing is written but in the store
from protocol import RefusedError, Verbs, serve  # noqa: E402

NAME, VERSION = "@NAME@", "0"
MARK = "toy-store"
LAYER = "application/vnd.oci.image.layer.v1.tar"
MEDIA_TYPES = {
    "application/vnd.oci.image.layer.v1.tar": ["cat"],
    "application/vnd.oci.image.layer.v1.tar+gzip": ["gzip", "-dc"],
    "application/vnd.oci.image.layer.nondistributable.v1.tar": ["cat"],
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": ["gzip", "-dc"],
    "application/vnd.docker.image.rootfs.diff.tar": ["cat"],
    "application/vnd.docker.image.rootfs.diff.tar.gzip": ["gzip", "-dc"],
}
TAR = ["tar", "--extract", "--preserve-permissions", "--same-owner", "--numeric-owner", "--xattrs",
       "--xattrs-include=*", "--exclude=.wh.*", "--file"]  # fmt: skip


# --- the verbs: (request) -> response -----------------------------------------------------------


def info() -> dict[str, Any]:
    return {"name": NAME, "version": VERSION, "protocol": 1}


def open_store(
    store: str, *, readonly: bool = False, limits: dict[str, int] | None = None, zfs: str = ""
) -> dict[str, Any]:
    if readonly or limits or zfs:
        raise RefusedError("unsupported", "open takes neither readonly nor limits nor zfs")
    if not os.path.exists(f"{store}/{MARK}"):
        try:
            os.makedirs(store, exist_ok=True)
        except OSError as error:
            raise RefusedError("storage-error", f"{store}: {error.strerror}") from error
        if os.listdir(store):
            raise RefusedError("storage-error", f"{store} is no store, and not empty")
        os.mkdir(f"{store}/layers")
        os.mkdir(f"{store}/views")
        open(f"{store}/{MARK}", "w", encoding="ascii").close()
    return {"store": store}


def close(store: str) -> dict[str, Any]:
    folder(store, "views")
    for target in views(store):
        unmount(store, target)
    return {}


def add(
    store: str, path: str, media_type: str = LAYER, digest: str | None = None,
    size: int | None = None, diff_id: str | None = None, dependencies: list[str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    layers = folder(store, "layers")
    if dependencies:
        raise RefusedError("unsupported", "no dependencies")
    for given in (digest, diff_id):
        if given is not None:
            check_digest(given)
    if media_type not in MEDIA_TYPES:
        raise RefusedError("validation-error", f"no media type of a layer: {media_type!r}")
    if not path.startswith("/"):
        raise RefusedError("validation-error", "path must be absolute")
    with tempfile.TemporaryDirectory(dir=store) as staging:
        try:
            shutil.copyfile(path, f"{staging}/blob")
        except OSError as error:
            raise RefusedError("path-error", f"{path}: {error.strerror}", path=path) from error
        length = os.path.getsize(f"{staging}/blob")
        expect("digest", digest, found := digest_of(f"{staging}/blob"))
        expect("size", size, length)
        os.mkdir(f"{staging}/layer")
        whole = run(MEDIA_TYPES[media_type], f"{staging}/blob", f"{staging}/layer/archive") == ""
        expect("diff_id", diff_id, archive := digest_of(f"{staging}/layer/archive"))
        if not whole:
            raise RefusedError("decompression-error", "the blob is damaged")
        if run(["tar", "-t"], f"{staging}/layer/archive"):
            raise RefusedError("validation-error", "the blob is no tar archive")
        layer = {"digest": found, "diff_id": archive, "size": length, "media_type": media_type}
        with open(f"{staging}/layer/layer.json", "w", encoding="ascii") as file:
            json.dump({**layer, "dependencies": []}, file)
        if not os.path.exists(f"{layers}/{found}"):
            os.rename(f"{staging}/layer", f"{layers}/{found}")
    return get(store, found)


def get(store: str, digest: str) -> dict[str, Any]:
    with open(f"{layer_of(store, digest)}/layer.json", encoding="ascii") as file:
        return {"layer": json.load(file)}


def list_layers(store: str) -> dict[str, Any]:
    names = sorted(os.listdir(folder(store, "layers")))
    return {"layers": [get(store, name)["layer"] for name in names]}


def remove(store: str, digest: str) -> dict[str, Any]:
    try:
        layer = layer_of(store, digest)
    except RefusedError as refused:
        if refused.error["code"] != "layer-not-found":
            raise
        return {"removed": False}
    for target, view in views(store).items():
        if digest in view.digests:
            raise RefusedError("layer-in-use", f"mounted at {target}", holder=target)
    with tempfile.TemporaryDirectory(dir=store) as going:
        os.rename(layer, f"{going}/layer")
    return {"removed": True}


def stack(store: str, digests: list[str], target: str, *, writable: bool = False) -> dict[str, Any]:
    if writable:
        raise RefusedError("unsupported", "no writable views")
    layers = [layer_of(store, digest) for digest in digests]
    last = {digest: place for place, digest in enumerate(digests)}  # the last mention counts
    if not digests:
        raise RefusedError("validation-error", "no digests")
    made = check_target(store, target)
    view = tempfile.mkdtemp(dir=folder(store, "views"))
    try:
        os.mkdir(f"{view}/root", 0o755)
        for place, digest in enumerate(digests):
            if last[digest] == place:
                apply(f"{layers[place]}/archive", f"{view}/root")
        if made:
            os.mkdir(target)
        said = run(["mount", "--bind", "-o", "ro", f"{view}/root", target])
        if said:
            if made:
                os.rmdir(target)
            raise RefusedError("mount-failed", said)
        with open(f"{view}/view.json", "w", encoding="ascii") as file:
            json.dump([target, made, digests], file)
    except RefusedError:
        shutil.rmtree(view)
        raise
    return {"mount": {"target": target, "digests": sorted(last, key=last.__getitem__),
                      "writable": False}}  # fmt: skip


def unmount(store: str, target: str) -> dict[str, Any]:
    view = views(store).get(target)
    if view is None:
        raise RefusedError("invalid-mount-point", f"no view at {target}")
    if is_mounted(target):
        said = run(["umount", target])
        if said:
            raise RefusedError("unmount-failed", said, holder="somebody")
    shutil.rmtree(view.directory)
    if view.made_target:
        os.rmdir(target)
    return {}


VERBS: Verbs = {
    "info": (info, {}),
    "open": (open_store, {"store": str, "?readonly": bool, "?limits": dict, "?zfs": str}),
    "close": (close, {"store": str}),
    "add": (add, {"store": str, "path": str, "?media_type": str, "?digest": str, "?size": int,
                  "?diff_id": str, "?dependencies": list}),
    "get": (get, {"store": str, "digest": str}),
    "list": (list_layers, {"store": str}),
    "remove": (remove, {"store": str, "digest": str}),
    "stack": (stack, {"store": str, "digests": list, "target": str, "?writable": bool}),
    "unmount": (unmount, {"store": str, "target": str}),
}  # fmt: skip
# --- the store ----------------------------------------------------------------------------------


class View(NamedTuple):
    """A mounted view: its directory, the layers, and whether `stack` made the target."""

    directory: str
    digests: list[str]
    made_target: bool


def folder(store: str, name: str) -> str:
    """Return a folder of the store; refuses what `open` has not made."""
    if not os.path.exists(f"{store}/{MARK}"):
        raise RefusedError("storage-error", f"{store} is no store")
    return f"{store}/{name}"


def layer_of(store: str, digest: str) -> str:
    """Return the directory of a layer."""
    check_digest(digest)
    place = f"{folder(store, 'layers')}/{digest}"
    if not os.path.exists(place):
        raise RefusedError("layer-not-found", f"no layer {digest}", digest=digest)
    return place


def views(store: str) -> dict[str, View]:
    """Return the views of the store by target."""
    found = {}
    for name in os.listdir(folder(store, "views")):
        directory = f"{store}/views/{name}"
        if os.path.exists(f"{directory}/view.json"):
            with open(f"{directory}/view.json", encoding="ascii") as file:
                target, made, digests = json.load(file)
            found[target] = View(directory, digests, made)
    return found


def check_digest(digest: str) -> None:
    if not isinstance(digest, str) or re.fullmatch(r"sha256:[0-9a-f]{64}", digest) is None:
        raise RefusedError("validation-error", f"no sha256 digest: {digest!r}")


def check_target(store: str, target: str) -> bool:
    """Return whether the target must be made; refuses what nothing can be mounted at."""
    if not target.startswith("/"):
        raise RefusedError("validation-error", "target must be absolute")
    parent = os.path.dirname(target)
    inside = os.path.realpath(target).startswith(os.path.realpath(store) + "/")
    if inside or os.path.islink(target) or is_mounted(target) or not os.path.isdir(parent):
        raise RefusedError("invalid-mount-point", f"nothing can be mounted at {target}")
    if not os.path.exists(target):
        return True
    if not os.path.isdir(target) or os.listdir(target):
        raise RefusedError("invalid-mount-point", f"{target} is no empty directory")
    return False


def is_mounted(target: str) -> bool:
    """Whether anything is mounted there (proc_pid_mountinfo(5)): bind mounts share a device."""
    with open("/proc/self/mountinfo", "rb") as file:
        points = [line.split()[4] for line in file]
    written = [re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), one) for one in points]
    return os.fsencode(target) in written


def digest_of(path: str) -> str:
    known = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            known.update(piece)
    return f"sha256:{known.hexdigest()}"


def expect(what: str, given: str | int | None, true: str | int) -> None:
    if given is not None and given != true:
        raise RefusedError("digest-mismatch", f"{what} is {true}, not {given}")


def apply(archive: str, root: str) -> None:
    """Hide what the layer's whiteouts name, then unpack the rest."""
    try:
        with tarfile.open(archive, errors="surrogateescape") as members:
            names = members.getnames()
    except tarfile.TarError as error:
        raise RefusedError("validation-error", f"no archive: {error}") from error
    for parent, name in map(os.path.split, names):
        directory = os.path.realpath(f"{root}/{parent}")
        if not name.startswith(".wh.") or not f"{directory}/".startswith(f"{root}/"):
            continue
        hidden = [name.removeprefix(".wh.")]
        if name == ".wh..wh..opq":
            hidden = os.listdir(directory) if os.path.isdir(directory) else []
        for one in filter(None, hidden):
            path = f"{directory}/{one}"
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif os.path.lexists(path):
                os.unlink(path)
    said = run([*TAR, archive, "--directory", root])
    if said:
        raise RefusedError("hostile-layer", said)


def run(argv: list[str], stdin: str = os.devnull, stdout: str = os.devnull) -> str:
    """Run a command; return why it failed, in a line, or nothing."""
    with open(stdin, "rb") as source, open(stdout, "wb") as sink:
        done = subprocess.run(argv, stdin=source, stdout=sink, stderr=subprocess.PIPE, check=False)
    said = done.stderr.decode(errors="replace").strip()
    return (said or f"status {done.returncode}") if done.returncode else ""


if __name__ == "__main__":
    serve(VERBS)
