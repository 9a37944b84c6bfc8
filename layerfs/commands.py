"""The sub-commands for people: what each is for, its arguments, and the verb that it asks for.

A sub-command turns its arguments into a request of the protocol, which ``layerfs.verbs`` serves.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from layerfs import piping
from layerfs.openstores import Stores
from layerfs.shorthand import Store, absolute, guessed_media_type

Request = dict[str, Any]


class Command(NamedTuple):
    """One sub-command. ``request`` gives the verb and its request, but for the store."""

    help: str
    description: str
    example: str
    arguments: Callable[[ArgumentParser], object]
    request: Callable[[Namespace, Store], tuple[str, Request]]
    aliases: tuple[str, ...] = ()
    #: Fields of the response that tell of damage when they are not empty: exit status 1.
    findings: tuple[str, ...] = ()
    #: Whether it reads layers, so that --limit means something.
    reads: bool = False
    #: Does it with a standard stream, where the request's ``path`` is null. None: that says it all.
    piped: Callable[[Stores, Request], Request | None] | None = None


def _nothing(_parser: ArgumentParser) -> None:
    """Have no arguments."""


def _init(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--zfs",
        metavar="DATASET",
        help="keep the layers of a new store below this ZFS dataset; it is made when missing",
    )


def _digest(parser: ArgumentParser) -> None:
    parser.add_argument(
        "digest", metavar="DIGEST", help="of a layer, or its first 6 digits or more"
    )


def _digests(parser: ArgumentParser) -> None:
    parser.add_argument(
        "digests",
        metavar="DIGEST",
        nargs="+",
        help="of the layers, base first; an image's name stands for its layers",
    )


def _any_digests(parser: ArgumentParser) -> None:
    parser.add_argument("digests", metavar="DIGEST", nargs="*", help="of layers (default: all)")


def _target(parser: ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="where the view is mounted")


def _new_target(parser: ArgumentParser) -> None:
    parser.add_argument("target", metavar="TARGET", help="empty directory, or a new name in one")


def _add(parser: ArgumentParser) -> None:
    parser.add_argument("path", metavar="FILE", help="the layer: a tar, plain or compressed")
    parser.add_argument("--media-type", metavar="TYPE", help="default: by the first bytes")
    parser.add_argument("--digest", help="must be the blob's digest")
    parser.add_argument("--size", type=int, metavar="BYTES", help="must be the blob's size")
    parser.add_argument("--diff-id", metavar="DIGEST", help="must be that of the uncompressed tar")
    parser.add_argument(
        "--depends-on",
        metavar="DIGEST",
        action="append",
        default=[],
        help="a layer that comes before this one in `order`; may be given several times",
    )


def _add_request(given: Namespace, store: Store) -> tuple[str, Request]:
    path = absolute(given.path)
    request = {
        "path": path,
        "media_type": given.media_type or guessed_media_type(path),
        "dependencies": store.digests(given.depends_on),
    }
    optional = {"digest": given.digest, "size": given.size, "diff_id": given.diff_id}
    request.update({name: value for name, value in optional.items() if value is not None})
    return "add", request


def _stack(parser: ArgumentParser) -> None:
    _digests(parser)
    _new_target(parser)
    parser.add_argument("--writable", action="store_true", help="take changes, see `commit`")


def _mount(parser: ArgumentParser) -> None:
    _digest(parser)
    _new_target(parser)


def _unmount(parser: ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("target", metavar="TARGET", nargs="?", help="where the view is mounted")
    which.add_argument("--all", action="store_true", help="all views of the store")


def _lease(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME")
    _digests(parser)


def _gc(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only tell")
    parser.add_argument("--force", action="store_true", help="ignore leases")


def _import(parser: ArgumentParser) -> None:
    parser.add_argument("path", metavar="LAYOUT", help="directory of an OCI image layout")
    parser.add_argument("--reference", metavar="NAME", help="which image, if there are several")


def _export(parser: ArgumentParser) -> None:
    parser.add_argument("path", metavar="LAYOUT", help="empty directory, or a new name")
    parser.add_argument("--image", metavar="IMAGE", help="manifest digest, or reference")
    parser.add_argument("--layers", metavar="DIGEST", nargs="+", help="base first")
    parser.add_argument("--reference", metavar="NAME", help="its name there (default: latest)")


def _send(parser: ArgumentParser) -> None:
    _digests(parser)
    parser.add_argument(
        "--since",
        metavar="DIGEST",
        nargs="+",
        default=[],
        help="the first of the layers, which the receiver has: nothing of them is sent",
    )
    parser.add_argument(
        "--output", metavar="FILE", help="a new file (default: standard output, for a pipe)"
    )


def _receive(parser: ArgumentParser) -> None:
    parser.add_argument(
        "path", metavar="FILE", nargs="?", help="what `send` wrote (default: standard input)"
    )
    parser.add_argument(
        "--blobs-only",
        action="store_true",
        help="do not trust the sender's trees: unpack them here, from the verified layers",
    )


def _untagged(parser: ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="reference, or manifest digest")


def _export_request(given: Namespace, store: Store) -> tuple[str, Request]:
    request: Request = {"path": absolute(given.path), "image": given.image}
    if given.layers is not None:
        request["digests"] = store.digests(given.layers)
    if given.reference is not None:
        request["reference"] = given.reference
    return "export", request


def _send_request(given: Namespace, store: Store) -> tuple[str, Request]:
    request: Request = {
        "digests": store.digests(given.digests),
        "since": store.digests(given.since),
        "path": None if given.output is None else absolute(given.output),
    }
    return "send", request


def _about_one(verb: str) -> Callable[[Namespace, Store], tuple[str, Request]]:
    return lambda given, store: (verb, {"digest": store.digest(given.digest)})


def _about_some(verb: str) -> Callable[[Namespace, Store], tuple[str, Request]]:
    return lambda given, store: (verb, {"digests": store.digests(given.digests) or None})


def _plainly(verb: str) -> Callable[[Namespace, Store], tuple[str, Request]]:
    return lambda _given, _store: (verb, {})


COMMANDS: Final[Mapping[str, Command]] = {
    "init": Command(
        "create a store, or recover one",
        "Create the store: a directory that holds layers, and is an OCI image layout besides. A\n"
        "store that is there already is recovered: what an interrupted operation left behind is\n"
        "finished or undone.",
        "layerfs --root /var/lib/layers init\n"
        "layerfs --root /var/lib/layers init --zfs tank/layers",
        _init,
        lambda given, _store: ("open", {} if given.zfs is None else {"zfs": given.zfs}),
        aliases=("open",),
    ),
    "add": Command(
        "add a layer from a file",
        "Read a layer once, verify what is said of it, extract it, and store the blob beside its\n"
        "tree. A layer that is there already is no error. The layer is named by the blob's digest.",
        "layerfs add base.tar.gz\nlayerfs add app.tar --depends-on 3f8a12bc --digest sha256:...",
        _add,
        _add_request,
        reads=True,
    ),
    "show": Command(
        "show one layer",
        "Show digest, diffID, size, media type and dependencies of one layer.",
        "layerfs show 3f8a12bc",
        _digest,
        _about_one("get"),
        aliases=("get",),
    ),
    "list": Command(
        "list the layers",
        "List the layers of the store. The digests are cut; any beginning of 6 digits or more\n"
        "names the layer in other commands, as long as it is the only one.",
        "layerfs list\nlayerfs --json list",
        _nothing,
        _plainly("list"),
        aliases=("ls",),
    ),
    "remove": Command(
        "remove a layer",
        "Remove one layer and free its space. Refused while it is mounted, leased, part of an\n"
        "image, or another layer depends on it; the message says which.",
        "layerfs remove 3f8a12bc",
        _digest,
        _about_one("remove"),
        aliases=("rm",),
    ),
    "stack": Command(
        "mount layers as one tree",
        "Mount layers, base first, as one tree at TARGET. It stays mounted until `unmount`. With\n"
        "--writable it takes changes, which `commit` makes a layer of, and `unmount` discards.",
        "layerfs stack 3f8a12bc 90be1177 /mnt/root\nlayerfs stack --writable latest /mnt/root",
        _stack,
        lambda given, store: (
            "stack",
            {
                "digests": store.digests(given.digests),
                "target": absolute(given.target),
                "writable": given.writable,
            },
        ),
    ),
    "mount": Command(
        "mount one layer, read-only",
        "Mount one layer by itself at TARGET, read-only.",
        "layerfs mount 3f8a12bc /mnt/layer",
        _mount,
        lambda given, store: (
            "mount",
            {"digest": store.digest(given.digest), "target": absolute(given.target)},
        ),
    ),
    "unmount": Command(
        "end a view",
        "End the view at TARGET. What was written to it and not committed is discarded. Refused\n"
        "while the view is in use; the message says by whom, and a retry may succeed.",
        "layerfs unmount /mnt/root\nlayerfs unmount --all",
        _unmount,
        lambda given, _store: (
            ("close", {}) if given.all else ("unmount", {"target": absolute(given.target)})
        ),
        aliases=("umount",),
    ),
    "mounts": Command(
        "list the views",
        "List the mounted views of the store.",
        "layerfs mounts",
        _nothing,
        _plainly("mounts"),
    ),
    "commit": Command(
        "make a layer of a view's changes",
        "Make a layer of what was changed in the writable view at TARGET, and add it to the\n"
        "store. The view stays mounted. The same changes give the same layer; times are limited\n"
        "to SOURCE_DATE_EPOCH where that is set.",
        "layerfs commit /mnt/root",
        _target,
        lambda given, _store: ("commit", {"target": absolute(given.target)}),
    ),
    "merge": Command(
        "make one layer of several",
        "Make one layer that does what the given ones do, base first, over any other layers. They\n"
        "stay in the store.",
        "layerfs merge 3f8a12bc 90be1177",
        _digests,
        _about_some("merge"),
    ),
    "order": Command(
        "order layers by dependency",
        "Print layers with their dependencies first, otherwise in the order given. Refused when a\n"
        "dependency is missing, or layers depend on each other in a circle.",
        "layerfs order",
        _any_digests,
        _about_some("order"),
    ),
    "check-cycles": Command(
        "look for circular dependencies",
        "Refuse, with exit status 10, when layers depend on each other in a circle.",
        "layerfs check-cycles",
        _nothing,
        _plainly("check-cycles"),
    ),
    "verify": Command(
        "compare content with digests",
        "Read blobs and trees again, and name each path that is not as it was added.",
        "layerfs verify\nlayerfs verify 3f8a12bc",
        _any_digests,
        _about_some("verify"),
        findings=("damaged",),
        reads=True,
    ),
    "repair": Command(
        "mend what is damaged",
        "Extract damaged trees again from their blobs. Without DIGEST, of all layers, and what\n"
        "`check` finds is mended too, a damaged database included.",
        "layerfs repair",
        _any_digests,
        _about_some("repair"),
        findings=("failed",),
        reads=True,
    ),
    "lease": Command(
        "keep layers from removal",
        "Keep layers from `remove` and `gc` under a name, until `release`.",
        "layerfs lease build-42 3f8a12bc 90be1177",
        _lease,
        lambda given, store: (
            "lease",
            {"name": given.name, "digests": store.digests(given.digests)},
        ),
    ),
    "release": Command(
        "give a lease up",
        "Give a lease up. An unknown name is no error.",
        "layerfs release build-42",
        lambda parser: parser.add_argument("name", metavar="NAME"),
        lambda given, _store: ("release", {"name": given.name}),
    ),
    "gc": Command(
        "remove layers that nothing keeps",
        "Remove every layer that is not mounted, leased, part of an image, or needed by a layer\n"
        "that is kept; and tell how many bytes on disk that frees.",
        "layerfs gc --dry-run",
        _gc,
        lambda given, _store: ("gc", {"dry_run": given.dry_run, "force": given.force}),
        findings=("errors",),
    ),
    "stats": Command(
        "count layers and bytes",
        "Count layers, views, and bytes on disk. One layer may be both mounted and referenced (by\n"
        "an image, a lease, or a layer that depends on it); unused are those that are neither.",
        "layerfs stats",
        _nothing,
        _plainly("stats"),
    ),
    "check": Command(
        "compare metadata with disk and mounts",
        "Compare the store's metadata with its disk and with the mounts, both ways, and tell what\n"
        "does not agree. Changes nothing; `repair` mends. Content is for `verify`.",
        "layerfs check",
        _nothing,
        _plainly("check"),
        findings=("problems",),
    ),
    "import": Command(
        "import an image",
        "Import an image from an OCI image layout, as skopeo and umoci write it.",
        "skopeo copy docker://docker.io/library/debian:12 oci:debian:12\n"
        "layerfs import debian --reference 12",
        _import,
        lambda given, _store: (
            "import",
            {"path": absolute(given.path), "reference": given.reference},
        ),
        reads=True,
    ),
    "export": Command(
        "write an image",
        "Write an OCI image layout: of an image of the store, of layers with a minimal\n"
        "configuration, or of an image's configuration with other layers.",
        "layerfs export out --image 12\n"
        "layerfs export out --image 12 --layers 12 90be1177 --reference edited",
        _export,
        _export_request,
    ),
    "images": Command(
        "list the images",
        "List the images of the store, a line for each name. A name stands for the image's layers\n"
        "wherever a command takes a list of digests.",
        "layerfs images\nlayerfs stack --writable latest /mnt/root",
        _nothing,
        _plainly("images"),
    ),
    "untag": Command(
        "forget an image",
        "Forget one name of an image, or with its manifest's digest the image and all its names.\n"
        "The layers of an image without a name stay until `gc`.",
        "layerfs untag latest\nlayerfs gc",
        _untagged,
        lambda given, _store: ("untag", {"image": given.image}),
    ),
    "send": Command(
        "write a stack for another store on ZFS",
        "Write a stack, base first, to FILE or to standard output: its layers, and the ZFS\n"
        "streams of its chain of clones, each after its origin. With --since nothing is written\n"
        "of layers that the receiver has. What `receive` makes of it shares space as here.",
        "layerfs send latest | ssh host layerfs --root /var/lib/layers receive\n"
        "layerfs send 3f8a12bc 90be1177 --since 3f8a12bc --output update.stack",
        _send,
        _send_request,
        piped=piping.send,
    ),
    "receive": Command(
        "receive a stack from another store on ZFS",
        "Receive what `send` wrote. Layers are verified as `add` verifies them, and what is here\n"
        "already stays as it is. All of it is received, or nothing. The trees in the ZFS streams\n"
        "are taken on the sender's word, unless --blobs-only passes them over.",
        "layerfs receive update.stack\nssh host layerfs --root /var/lib/layers send latest |\n"
        "  layerfs receive",
        _receive,
        lambda given, _store: (
            "receive",
            {
                "path": None if given.path is None else absolute(given.path),
                "blobs_only": given.blobs_only,
            },
        ),
        reads=True,
        piped=piping.receive,
    ),
}
