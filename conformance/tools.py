"""What other tools make of layers: GNU tar, umoci and skopeo, run on the host, to compare with.

Each function extracts below a directory of the host that it is given, looks, and removes it again.
The host must have the tool (facts ``gnu_tar``, ``umoci``, ``skopeo``); AssertionError when the tool
refuses.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from conformance.images import Image, layout
from conformance.layers import Layer, sha256
from harness.observe import Host
from harness.tree import Tree

#: ``--acls`` is not among them: with it tar takes ACLs from its own records only, and removes what
#: the layer says in ``SCHILY.xattr.system.posix_acl_*``. Directories get their times at the end.
_TAR: Final = (
    "tar", "--extract", "--preserve-permissions", "--same-owner", "--numeric-owner", "--xattrs",
    "--xattrs-include=*", "--delay-directory-restore", "--warning=no-timestamp",
)  # fmt: skip


def gnu_tar(host: Host, directory: str, *layers: Layer) -> Tree:
    """Return the tree of archives that GNU tar extracts one over the other, base first."""
    root = host.mkdir(f"{directory}/root")
    for layer in layers:
        archive = host.write(f"{directory}/archive", layer.tar())
        _run(host, [*_TAR, "--file", archive, "--directory", root])
    return _looked_at(host, directory, root)


def umoci(host: Host, directory: str, *layers: Layer) -> Tree:
    """Return the root file system that umoci unpacks from an image of the layers, base first."""
    for name, data in layout(Image(layers)).items():
        host.mkdir(os.path.dirname(f"{directory}/layout/{name}"))
        host.write(f"{directory}/layout/{name}", data)
    return unpacked(host, directory, f"{directory}/layout:latest")


def unpacked(host: Host, directory: str, image: str) -> Tree:
    """Return the root file system that umoci unpacks from an image on the host."""
    host.mkdir(directory)
    _run(host, ["umoci", "unpack", "--image", image, f"{directory}/bundle"])
    return _looked_at(host, directory, f"{directory}/bundle/rootfs")


def skopeo(host: Host, directory: str, image: str) -> str:
    """Return the manifest's digest of an image on the host, which skopeo has copied.

    skopeo compares what it copies with digests and sizes on its way.
    """
    host.mkdir(directory)
    _run(host, ["skopeo", "--insecure-policy", "copy", f"oci:{image}", f"dir:{directory}/copy"])
    manifest = host.read(f"{directory}/copy/manifest.json")
    host.remove(directory)
    return sha256(manifest)


def _run(host: Host, argv: Sequence[str]) -> None:
    done = host.run(argv)
    said = done.stderr.decode(errors="replace")
    assert done.status == 0, f"{argv[0]} refuses what it should extract: {said}"


def _looked_at(host: Host, directory: str, root: str) -> Tree:
    tree = host.tree(root)
    host.remove(directory)
    return tree
