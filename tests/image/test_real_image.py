"""The README's first session on a real image, judged by skopeo and umoci, which are not ours.

The image is built from the distribution's packages and written by umoci; it is kept in the user's
cache folder, under a key made of its recipe. Everything else happens in a disposable namespace.
"""

import json
import shutil
import sys

import pytest

from harness import realimage
from harness.local_remote import LocalRemote
from harness.observe import Host

SLOW = 300.0  # seconds that one command may take on a slow machine
LACKS = realimage.missing_needs() + [
    f"{tool} is missing (apt-get install {tool})" for tool in ("skopeo",) if not shutil.which(tool)
]

pytestmark = pytest.mark.skipif(
    bool(LACKS), reason=f"a real image cannot be built here: {'; '.join(LACKS)}"
)


@pytest.fixture(scope="module")
def layout():
    return realimage.cached(print)


@pytest.fixture
def host():
    remote = LocalRemote()
    yield Host(remote)
    remote.close()


class Session:
    """The layerfs command on one store, as a person would use it."""

    def __init__(self, host):
        self.host = host
        self.root = host.tmp("store")
        self.run("init")

    def run(self, *argv, words=(sys.executable, "-m", "layerfs")):
        done = self.host.run(
            [*words, *map(str, argv)], timeout=SLOW, env={"LAYERFS_ROOT": self.root}
        )
        assert done.status == 0, f"{argv}: {done.stderr.decode()}"
        return done.stdout.decode()

    def tool(self, *argv):
        return self.run(*argv, words=())

    def json(self, *argv):
        return json.loads(self.run("--json", *argv))


def test_the_first_session_on_a_real_image(layout, host):
    layerfs = Session(host)
    image = layerfs.json("import", layout)["image"]
    assert len(image["digests"]) == 4

    view = f"{host.tmp('views')}/root"
    layerfs.run("stack", "--writable", "latest", view)
    before = host.tree(view)
    told = layerfs.tool(
        "chroot", view, "/bin/sh", "-euc",
        "rm -r /usr/share/zoneinfo; echo hello > /etc/new; chown 7:8 /etc/new; "
        "mv /srv/data /srv/moved; ln /etc/new /etc/linked; dpkg-query -W -f '${Package}' less",
    )  # fmt: skip
    assert told == "less"
    changed = host.tree(view)
    assert changed["etc/new"].links == ("etc/linked", "etc/new")
    assert "srv/moved/one" in changed

    commit = layerfs.json("commit", view)["layer"]["digest"]
    assert layerfs.json("commit", view)["layer"]["digest"] == commit
    layerfs.run("unmount", view)

    digests = [*image["digests"], commit]
    layerfs.run("stack", *digests, view)
    assert host.tree(view) == changed
    layerfs.run("unmount", view)

    merged = layerfs.json("merge", *digests)["layer"]["digest"]
    layerfs.run("stack", merged, view)
    assert host.tree(view) == changed
    layerfs.run("unmount", view)

    layerfs.run("stack", "latest", view)
    assert host.tree(view) == before
    layerfs.run("unmount", view)

    exported = f"{host.tmp('out')}/oci"
    given = ("--image", "latest", "--layers", "latest", commit, "--reference", "changed")
    layerfs.run("export", exported, *given)
    inspected = json.loads(layerfs.tool("skopeo", "inspect", f"oci:{exported}:changed"))
    assert inspected["Layers"] == digests
    assert "changed" in layerfs.tool("umoci", "ls", "--layout", exported)

    bundle = f"{host.tmp('umoci')}/bundle"
    layerfs.tool("umoci", "unpack", "--image", f"{exported}:changed", bundle)
    assert host.tree(f"{bundle}/rootfs") == changed

    assert layerfs.json("verify")["damaged"] == []
    assert layerfs.json("check")["problems"] == []


def test_the_store_itself_is_a_layout_that_others_read(layout, host):
    layerfs = Session(host)
    layerfs.run("import", layout)
    inspected = json.loads(layerfs.tool("skopeo", "inspect", f"oci:{layerfs.root}:latest"))
    assert len(inspected["Layers"]) == 4
    bundle = f"{host.tmp('umoci')}/bundle"
    layerfs.tool("umoci", "unpack", "--image", f"{layerfs.root}:latest", bundle)
    view = f"{host.tmp('views')}/root"
    layerfs.run("stack", "latest", view)
    assert host.tree(f"{bundle}/rootfs") == host.tree(view)
    layerfs.run("unmount", view)


def test_exporting_what_was_imported_gives_the_same_bytes(layout, host):
    layerfs = Session(host)
    manifest = layerfs.json("import", layout)["image"]["manifest"]
    exported = f"{host.tmp('out')}/oci"
    assert layerfs.json("export", exported, "--image", "latest")["manifest"] == manifest
    theirs = {path.name: path.read_bytes() for path in (layout / "blobs/sha256").iterdir()}
    ours = {name: host.read(f"{exported}/blobs/sha256/{name}")
            for name in host.listdir(f"{exported}/blobs/sha256")}  # fmt: skip
    assert {name: theirs.get(name) == data for name, data in ours.items()} == dict.fromkeys(
        ours, True
    )
