"""Small layers for the tests of the store, and what a store looks like from outside."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
PLAIN = "application/vnd.oci.image.layer.v1.tar"


def tar(files):
    """Return a tar of {name: content}; None is a directory, a str a symlink's target."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.uid = os.geteuid()
            info.gid = os.getegid()
            if content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content if isinstance(content, bytes) else b""))
    return out.getvalue()


def stream(files):
    return io.BytesIO(tar(files))


def gz(files):
    return gzip.compress(tar(files), mtime=0)


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def contents(root):
    """Return what lies in a store besides its records: blobs, trees, and work in progress."""
    found = {}
    for place in ("blobs/sha256", "blobs/sha512", "layers", "staging", "run"):
        found[place] = sorted(os.listdir(root / place))
    return found


EMPTY = {"blobs/sha256": [], "blobs/sha512": [], "layers": [], "staging": [], "run": []}
