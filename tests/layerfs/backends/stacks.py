"""A bare store for the tests of the overlay backend: layers go in, and views come out."""

import hashlib
import io
import itertools
import os
import stat
from contextlib import contextmanager
from pathlib import Path

from conformance.layers import Layer
from harness.tree import Node, Tree
from layerfs.backends.overlay import OverlayBackend
from layerfs.tarstream import TarReader


class Bench:
    """A store's directory with its backend. ``target`` is a directory to mount on."""

    def __init__(self, place, features=None):
        self.root = Path(place) / "store"
        self.run = self.root / "run"
        self.target = Path(place) / "target"
        for path in (self.root / "layers", self.root / "staging", self.run, self.target):
            path.mkdir(parents=True)
        self.backend = OverlayBackend(self.root, features)
        self._numbers = itertools.count()

    def add(self, *entries):
        """Store a layer of the entries; return its diffID. The same twice is one."""
        layer = Layer(*entries)
        staging = self.root / "staging" / f"add-{next(self._numbers)}"
        staging.mkdir()
        self.backend.ingest(TarReader(io.BytesIO(layer.tar())), staging)
        self.backend.publish(staging, layer.diff_id)
        return layer.diff_id

    def new_run(self):
        return self.run / f"test-{os.getpid()}-{next(self._numbers)}"

    @contextmanager
    def view(self, *diff_ids, writable=False):
        """Mount the stack, base first; ``target`` and the view's run directory."""
        run = self.new_run()
        self.backend.view(diff_ids, self.target, run, writable=writable)
        try:
            yield self.target, run
        finally:
            self.backend.end_view(self.target, run)
            assert not run.exists()


def seen(root):
    """Return the tree at ``root``. What is listed and cannot be looked at is an error."""
    nodes = {".": _node(os.fspath(root))}
    for directory, directories, files in os.walk(root, onerror=_raise):
        for name in directories + files:
            path = os.path.join(directory, name)
            nodes[os.path.relpath(path, root)] = _node(path)
    return Tree(nodes)


def _raise(error):
    raise error


def _node(path):
    found = os.lstat(path)
    kinds = {stat.S_IFDIR: "dir", stat.S_IFREG: "file", stat.S_IFLNK: "symlink"}
    kind = kinds[stat.S_IFMT(found.st_mode)]
    names = os.listxattr(path, follow_symlinks=False)
    assert not [name for name in names if ".overlay." in name]
    content = Path(path).read_bytes() if kind == "file" else b""
    return Node(
        kind=kind,
        mode=stat.S_IMODE(found.st_mode),
        uid=found.st_uid,
        gid=found.st_gid,
        mtime_ns=found.st_mtime_ns,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest() if kind == "file" else "",
        target=os.readlink(path) if kind == "symlink" else "",
        xattrs=tuple((name, os.getxattr(path, name)) for name in sorted(names)),
    )
