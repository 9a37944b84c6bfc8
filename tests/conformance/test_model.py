"""The model against implementations that are not ours: GNU tar, and umoci where it is installed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from conformance import model
from conformance.layers import (
    MTIME,
    CharDevice,
    Dir,
    Fifo,
    File,
    Hardlink,
    Layer,
    Opaque,
    Raw,
    Symlink,
    Whiteout,
)
from conformance.recipes import stacks
from harness.tree import Node, Tree

ROOTED = Dir("./", mode=0o755)

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners are restored by root only")
needs_umoci = pytest.mark.skipif(shutil.which("umoci") is None, reason="umoci is not installed")


def look(root: Path) -> Tree:
    nodes, names = {}, defaultdict(list)
    for here, folders, files in os.walk(root):
        for name in [*folders, *files, "."]:
            full = os.path.join(here, name)
            if name == "." and here != str(root):
                continue
            path = os.path.relpath(full, root)
            nodes[path] = node(full)
            names[os.lstat(full).st_ino].append(path)
    for group in names.values():
        if len(group) > 1:
            for path in group:
                nodes[path] = replace(nodes[path], links=tuple(sorted(group)))
    return Tree(nodes)


def node(full: str) -> Node:
    found = os.lstat(full)
    kinds = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "dir",
        stat.S_IFLNK: "symlink",
        stat.S_IFIFO: "fifo",
        stat.S_IFCHR: "char",
        stat.S_IFBLK: "block",
    }
    kind = kinds[stat.S_IFMT(found.st_mode)]
    content = Path(full).read_bytes() if kind == "file" else None
    names = os.listxattr(full, follow_symlinks=False)
    return Node(
        kind=kind,
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        mtime_ns=found.st_mtime_ns,
        size=0 if content is None else len(content),
        sha256="" if content is None else hashlib.sha256(content).hexdigest(),
        target=os.readlink(full) if kind == "symlink" else "",
        rdev=(os.major(found.st_rdev), os.minor(found.st_rdev))
        if kind in {"char", "block"}
        else (0, 0),
        xattrs=tuple(sorted((n, os.getxattr(full, n, follow_symlinks=False)) for n in names)),
    )


def extract(root: Path, *layers: Layer) -> Tree:
    """What GNU tar makes of layers without whiteouts, one after the other."""
    for layer in layers:
        command = ["tar", "-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*"]
        subprocess.run([*command, "-f", "-", "-C", root], input=layer.tar(), check=True)
    return look(root)


def unpack(folder: Path, *layers: Layer) -> Tree:
    """What umoci makes of layers: unpacked from an OCI image layout of its own reading."""
    layout, bundle = folder / "layout", folder / "bundle"
    (layout / "blobs" / "sha256").mkdir(parents=True)

    def put(media_type: str, data: bytes) -> dict[str, object]:
        name = hashlib.sha256(data).hexdigest()
        (layout / "blobs" / "sha256" / name).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}

    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
    }
    manifest = {
        "schemaVersion": 2,
        "config": put("application/vnd.oci.image.config.v1+json", json.dumps(config).encode()),
        "layers": [put(layer.media_type, layer.blob()) for layer in layers],
    }
    described = put("application/vnd.oci.image.manifest.v1+json", json.dumps(manifest).encode())
    described["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    subprocess.run(
        ["umoci", "unpack", "--image", f"{layout}:latest", bundle], check=True, capture_output=True
    )
    return look(bundle / "rootfs")


PLAIN = {
    "every kind": [
        Layer(
            ROOTED,
            Dir("d", mode=0o1777),
            File("d/f", b"x", mode=0o4755, xattrs={"user.a": b"\0\n="}),
            Symlink("d/l", to="nowhere"),
            Hardlink("h", to="d/f"),
            Hardlink("hl", to="d/l"),
            Fifo("p"),
            File("ns", mtime_ns=MTIME + 123_456_789),
        )
    ],
    "the last of two entries wins": [
        Layer(ROOTED, File("a", b"1"), File("a", b"2", mode=0o600), Symlink("b", to="a"), File("b"))
    ],
    "a directory entry over a directory keeps its children": [
        Layer(ROOTED, Dir("d"), File("d/a")),
        Layer(ROOTED, Dir("d", mode=0o700, mtime_ns=1), File("d/b"), Dir("d", mode=0o711)),
    ],
    "children stand before their directory": [
        Layer(ROOTED, File("d/e/f"), Dir("d/e", mode=0o500), Dir("d", mode=0o700))
    ],
    "names are normalised": [
        Layer(ROOTED, Dir("./a/"), File(".//a/./b"), Dir("c/"), File("./d", xattrs={"user.b": b""}))
    ],
    "a replaced name leaves the other hard link alone": [
        Layer(ROOTED, File("a"), Hardlink("b", to="a"), Hardlink("c", to="b")),
        Layer(ROOTED, File("a", b"new")),
    ],
    "a parent may be a symlink of the same layer": [
        Layer(ROOTED, Dir("usr"), Dir("usr/lib"), Symlink("lib", to="usr/lib"), File("lib/x"))
    ],
}  # fmt: skip


#: Directories whose time tar or umoci set before they put the last entry in: theirs is not meant.
FORGOTTEN = {
    "names are normalised": "a",
    "a parent may be a symlink of the same layer": "usr/lib",
    "opaque after its siblings": "d/e",
}


def without_time(tree: Tree, path: str | None) -> Tree:
    return Tree({**tree, path: replace(tree[path], mtime_ns=None)}) if path else tree


@pytest.mark.parametrize("name", PLAIN)
@needs_root
def test_layers_without_whiteouts_are_what_gnu_tar_extracts(name, tmp_path):
    expected = model.apply(*PLAIN[name])

    assert without_time(extract(tmp_path, *PLAIN[name]), FORGOTTEN.get(name)) == expected


BASE = Layer(
    ROOTED,
    Dir("d", mode=0o750),
    File("d/a"),
    File("d/b", uid=7),
    Dir("d/e"),
    File("d/e/f"),
    Symlink("l", to="d"),
    File("x"),
    Hardlink("y", to="x"),
)

WHITEOUTS = {
    "of a file": [Layer(ROOTED, Dir("d"), Whiteout("d/a"))],
    "of a directory": [Layer(ROOTED, Whiteout("d"))],
    "of a symlink, not of where it leads": [Layer(ROOTED, Whiteout("l"))],
    "of a missing path": [Layer(ROOTED, Whiteout("nothing"))],
    "of one of two hard links": [Layer(ROOTED, Whiteout("x"))],
    "opaque": [Layer(ROOTED, Dir("d", mode=0o711), Opaque("d"))],
    "opaque, of the root": [Layer(ROOTED, Opaque("."), File("only"))],
    "opaque after its siblings": [Layer(ROOTED, Dir("d"), Dir("d/e"), File("d/e/n"), Opaque("d"))],
    "before an entry of the same name": [Layer(ROOTED, Whiteout("d"), Dir("d"), File("d/n"))],
    "in one layer, added again in the next": [
        Layer(ROOTED, Dir("d"), Whiteout("d/e")),
        Layer(ROOTED, Dir("d"), Dir("d/e"), File("d/e/again")),
    ],
    "a file over a directory": [Layer(ROOTED, File("d", b"file now"))],
    "a directory over a file": [Layer(ROOTED, Dir("x"), File("x/z"))],
    "a directory over a symlink": [Layer(ROOTED, Dir("l"), File("l/z"))],
}


@pytest.mark.parametrize("name", WHITEOUTS)
@needs_root
@needs_umoci
def test_whiteouts_are_what_umoci_unpacks(name, tmp_path):
    layers = [BASE, *WHITEOUTS[name]]

    assert without_time(unpack(tmp_path, *layers), FORGOTTEN.get(name)) == model.apply(*layers)


@pytest.mark.parametrize("position", ["first", "middle", "last"])
def test_an_opaque_marker_hides_only_what_lies_below_wherever_it_stands(position):
    upper = Layer(Dir("d"), File("d/a", b"mine"), File("d/z")).with_opaque("d", position)

    tree = model.apply(BASE, upper)
    assert sorted(path for path in tree if path.startswith("d")) == ["d", "d/a", "d/z"]
    assert tree["d/a"].size == 4


def test_a_whiteout_after_an_entry_of_the_same_name_hides_only_the_lower_one():
    tree = model.apply(BASE, Layer(Dir("d"), File("d/n"), Whiteout("d")))

    assert sorted(path for path in tree if path.startswith("d")) == ["d", "d/n"]


def test_a_directory_that_no_entry_made_says_nothing_of_the_one_below():
    tree = model.apply(BASE, Layer(File("d/new"), File("fresh/new")))

    assert tree["d"] == model.apply(BASE)["d"]
    assert (tree["fresh"].mode, tree["fresh"].uid, tree["fresh"].mtime_ns) == (0o755, 0, None)


def test_the_root_is_there_only_when_a_layer_has_an_entry_for_it():
    assert "." not in model.apply(Layer(File("a")))
    assert model.apply(Layer(Dir("./", mode=0o700)))["."].mode == 0o700


def test_symlinks_are_resolved_inside_the_root_and_never_above_it():
    layer = Layer(
        Dir("usr"), Dir("usr/lib"), Symlink("abs", to="/usr/lib"), Symlink("up", to="../../usr"),
        Symlink("twice", to="up/lib"), File("abs/a"), File("up/b"), File("twice/c"),
    )  # fmt: skip

    assert {"usr/lib/a", "usr/b", "usr/lib/c"} < set(model.apply(layer))


UNDEFINED = {
    "a component ..": [File("a/../b")],
    "a symlink to nothing": [Symlink("l", to="/nothing"), File("l/x")],
    "symlinks in a circle": [Symlink("a", to="b"), Symlink("b", to="a"), File("a/x")],
    "a file for a parent": [File("a"), File("a/b")],
    "a symlink to a file for a parent": [File("a"), Symlink("l", to="a"), File("l/b")],
    "a hard link to nothing": [Hardlink("h", to="nothing")],
    "a hard link to a directory": [Dir("d"), Hardlink("h", to="d")],
    "a root that is a file": [File(".")],
    "bytes that are no entry": [Raw(b"?")],
}


@pytest.mark.parametrize("name", UNDEFINED)
def test_what_has_no_defined_result_is_not_given_one(name):
    with pytest.raises(model.Undefined):
        model.apply(Layer(*UNDEFINED[name]))


def test_devices_keep_their_numbers():
    assert model.apply(Layer(CharDevice("null", 1, 3)))["null"].rdev == (1, 3)


def test_a_late_entry_for_the_root_keeps_what_came_before_it():
    tree = model.apply(Layer(File("f"), Dir("./", mode=0o700)))
    assert (set(tree), tree["."].mode) == ({".", "f"}, 0o700)


@needs_root
@settings(max_examples=40, derandomize=True, deadline=None, database=None)
@given(layers=stacks(explicit=True))
def test_a_random_layer_without_whiteouts_is_what_gnu_tar_extracts(layers):
    # One layer, parents first: tar itself cannot replace a directory that is not empty.
    kept = [entry for entry in layers[0].entries if not isinstance(entry, Whiteout | Opaque)]
    links = [entry for entry in kept if isinstance(entry, Hardlink)]
    others = sorted((entry for entry in kept if entry not in links), key=lambda one: one.path)
    plain = Layer(ROOTED, *others, *links)

    with tempfile.TemporaryDirectory() as folder:
        assert extract(Path(folder), plain) == model.apply(plain)
