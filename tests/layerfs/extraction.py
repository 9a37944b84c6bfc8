"""Raw tar archives, and their extraction, for the tests of apply and verifytree.

The archives are put together from header fields here, and by nothing of layerfs, so that they can
say anything. What can be stored depends on who runs the tests: root of the host, root of a user
namespace, or an ordinary user.
"""

import io
import os
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from layerfs.apply import ApplyOptions, apply
from layerfs.tarstream import TarReader

ROOT = Path(__file__).resolve().parents[2]
#: Whether this is the host's root, who can store everything.
HOST_ROOT = os.geteuid() == 0 and Path("/proc/self/uid_map").read_text().split() == [
    "0", "0", "4294967295",
]  # fmt: skip
OPTIONS = ApplyOptions(
    userxattr=not HOST_ROOT, squash_ids=not HOST_ROOT, drop_privileged_xattrs=not HOST_ROOT
)
OPAQUE = "trusted.overlay.opaque" if HOST_ROOT else "user.overlay.opaque"
UID, GID = (0, 0) if HOST_ROOT else (os.geteuid(), os.getegid())

needs_host_root = pytest.mark.skipif(not HOST_ROOT, reason="needs the host's root")

S = 1_000_000_000
TYPES = {
    "file": b"0", "hardlink": b"1", "symlink": b"2", "char": b"3", "block": b"4", "dir": b"5",
    "fifo": b"6", "pax": b"x",
}  # fmt: skip


def header(name, typeflag, size=0, *, mode=0o644, uid=0, gid=0, mtime=0, to=b"", rdev=(0, 0)):
    block = bytearray(512)
    struct.pack_into(
        "100s8s8s8s12s12s8sc100s6s2s32s32s8s8s", block, 0,
        name[:100], b"%07o" % mode, b"%07o" % (uid & 0o7777777), b"%07o" % (gid & 0o7777777),
        b"%011o" % size, b"%011o" % mtime, b" " * 8, typeflag, to[:100], b"ustar\0", b"00",
        b"", b"", b"%07o" % rdev[0], b"%07o" % rdev[1],
    )  # fmt: skip
    struct.pack_into("8s", block, 148, b"%06o\0 " % sum(block))
    return bytes(block)


def padded(data):
    return data + bytes(-len(data) % 512)


def record(key, value):
    rest = len(key) + len(value) + 3
    length = next(n for n in range(rest, rest + 9) if rest + len(str(n)) == n)
    return b"%d %b=%b\n" % (length, key, value)


def entry(name, kind="file", data=b"", *, to=b"", mtime_ns=0, uid=0, gid=0, xattrs=None, pax=None,
          **fields):  # fmt: skip
    """One member, with a PAX header for all that the plain one cannot say."""
    name, to = os.fsencode(name), os.fsencode(to)
    records = dict(pax or {})
    if len(name) > 100:
        records[b"path"] = name
    if len(to) > 100:
        records[b"linkpath"] = to
    if mtime_ns % S or mtime_ns < 0:
        records[b"mtime"] = b"%s%d.%09d" % (b"-" * (mtime_ns < 0), *divmod(abs(mtime_ns), S))
    for key, number in ((b"uid", uid), (b"gid", gid)):
        if number > 0o7777777:
            records[key] = b"%d" % number
    for key, value in (xattrs or {}).items():
        records[b"SCHILY.xattr." + key.encode()] = value
    fields.setdefault("mode", 0o755 if kind == "dir" else 0o644)
    body = b"".join(record(key, value) for key, value in records.items())
    extended = header(b"pax", b"x", len(body)) + padded(body) if body else b""
    own = header(name, TYPES[kind], len(data), to=to, uid=uid, gid=gid,
                 mtime=max(mtime_ns // S, 0), **fields)  # fmt: skip
    return extended + own + padded(data)


def file(name, data=b"data", **fields):
    return entry(name, "file", data, **fields)


def directory(name, **fields):
    return entry(name, "dir", **fields)


def symlink(name, to, **fields):
    return entry(name, "symlink", to=to, **fields)


def hardlink(name, to, **fields):
    return entry(name, "hardlink", to=to, **fields)


def fifo(name, **fields):
    return entry(name, "fifo", **fields)


def sparse(name, size, runs):
    """A sparse file of ``runs`` (offset, data), in the PAX format 0.1."""
    pax = {
        b"GNU.sparse.size": b"%d" % size,
        b"GNU.sparse.numblocks": b"%d" % len(runs),
        b"GNU.sparse.map": b",".join(b"%d,%d" % (at, len(data)) for at, data in runs),
    }
    return entry(name, "file", b"".join(data for _, data in runs), pax=pax)


def tar(*entries):
    return b"".join(entries) + bytes(1024)


def reader(*entries, limits=None):
    return TarReader(io.BytesIO(tar(*entries)), limits)


def extract(root, *entries, options=OPTIONS, limits=None):
    """Apply the entries to the directory ``root``, made when missing."""
    root.mkdir(exist_ok=True)
    return extract_from(reader(*entries, limits=limits), root, options=options)


def extract_from(source, root, *, options=OPTIONS):
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return apply(source, fd, options=options)
    finally:
        os.close(fd)


KINDS = {
    stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "char", stat.S_IFBLK: "block", stat.S_IFSOCK: "socket",
}  # fmt: skip


def kind(path):
    status = os.lstat(path)
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        return "whiteout"
    return KINDS[stat.S_IFMT(status.st_mode)]


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def mtime_ns(path):
    return os.lstat(path).st_mtime_ns


def names(root):
    """Every path below ``root``, sorted."""
    return sorted(
        os.path.relpath(os.path.join(top, name), root)
        for top, dirs, files in os.walk(root)
        for name in dirs + files
    )


def snapshot(root):
    """All that a canary is looked at for: names, metadata, times, content, attributes."""
    found = {}
    for name in [".", *names(root)]:
        path = root / name
        status = path.lstat()
        found[name] = (
            status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_mtime_ns,
            status.st_ctime_ns, status.st_ino,
            path.read_bytes() if kind(path) == "file" else b"",
            {key: os.getxattr(path, key, follow_symlinks=False)
             for key in os.listxattr(path, follow_symlinks=False)},
        )  # fmt: skip
    return found


def assert_passes_in_user_namespace(test_file):
    """Run the tests of a file once more, as root of a new user namespace with one mapped id."""
    inside = ["unshare", "-Urm"]
    possible = subprocess.run([*inside, "true"], capture_output=True, text=True, check=False)
    if possible.returncode:
        pytest.skip(f"no user namespaces here: {possible.stderr.strip()}")
    done = subprocess.run(
        [*inside, sys.executable, "-m", "pytest", "-q", str(test_file), "-k", "not user_namespace"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
