"""Ways out of the root through metadata, devices and marks of overlayfs.

An extractor that resolves names well can still set a mode, an owner, a time or an attribute on what
a symlink leads to: each kind by itself, and by each route on which a symlink comes in its way. Each
case has a canary beside the store, of which not even the access time may change.
"""

import struct
from dataclasses import replace

import pytest

from conformance import model
from conformance.clauses import MUST, SHOULD, clause
from conformance.layers import (
    MTIME,
    BlockDevice,
    CharDevice,
    Dir,
    Fifo,
    File,
    Hardlink,
    Layer,
    Raw,
    Symlink,
)
from conformance.tar import Header, edit, encode, padded, pax

ITS_OWN = "symlink(7): the last component is not followed; PROTOCOL.md, 7"
OVERLAY = "overlayfs, trusted. or user. xattrs; PROTOCOL.md, 3.8"
#: cap_net_raw+ep, as capabilities(7) stores it in version 2.
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)
#: acl(5) as xattrs hold it: user rwx, user 0 r-x, group r-x, mask r-x, others ---.
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, allowed, 0 if tag == 2 else 2**32 - 1)
    for tag, allowed in [(1, 7), (2, 5), (4, 5), (16, 5), (32, 0)]
)


def hostile(id_, source, level=MUST, **more):
    """Return the mark of a clause of this profile."""
    return clause(id_, level, source, profile="hostile", **more)


def routes(outside, **metadata):
    """Return layers in which ``metadata`` meets a symlink to the canary, by each route.

    With each comes what must result of it. A hard link's header may have metadata of its own, which
    count for its file or for nothing; a directory's are mostly set late, when a symlink may stand
    in its place.
    """
    for there in (outside.file, outside.directory, outside.empty):
        plain = Symlink("l", to=there)
        named = replace(plain, **metadata)
        yield Layer(named), [Layer(named), Layer(plain)]

        link = Hardlink("h", to="l")
        header = Header(b"h", b"1", linkname=b"l", **{"mtime_ns": MTIME, **metadata})
        yield (
            Layer(plain, Raw(encode(header, "pax"))),
            [Layer(plain, link), Layer(named, link)],
        )

        late = Dir("l", **metadata)
        yield Layer(late, File("l/f"), plain), [Layer(plain)]


def keep_outside(subject, host, codes=(), **metadata):
    """Hold a subject to :func:`routes`; it may refuse with ``codes``."""
    with host.canary() as outside:
        for layer, allowed in routes(outside, **metadata):
            tree = subject.tree_or_refusal(layer, codes=codes)
            wanted = [model.apply(one) for one in allowed]
            assert tree in ([None, *wanted] if codes else wanted)


@hostile("HST-221", f"{ITS_OWN}; chmod(2)")
@pytest.mark.parametrize("mode", [0o7777, 0], ids=["all", "none"])
def test_a_mode_never_reaches_what_a_symlink_leads_to(subject, host, mode):
    """The mode of a symlink, a hard link to one, or a directory that became one stays inside."""
    keep_outside(subject, host, mode=mode)


@hostile("HST-222", f"{ITS_OWN}; lchown(2)", target_needs=("can_chown_ids",))
def test_an_owner_never_reaches_what_a_symlink_leads_to(subject, host):
    """The owner of a symlink, a hard link to one, or a directory that became one stays inside."""
    keep_outside(subject, host, uid=12, gid=34)


@hostile("HST-223", f"{ITS_OWN}; utimensat(2), AT_SYMLINK_NOFOLLOW")
def test_a_time_never_reaches_what_a_symlink_leads_to(subject, host):
    """The time of a symlink, a hard link to one, or a directory that became one stays inside."""
    keep_outside(subject, host, mtime_ns=MTIME + 5)


#: xattr(7): only files and directories have user attributes, and no symlink has an ACL. Where that
#: is not said by the store itself, it is the kernel's EPERM or EOPNOTSUPP.
NOT_HERE = ("validation-error", "hostile-layer", "permission-denied", "storage-error")


@hostile("HST-224", f"{ITS_OWN}; xattr(7), lsetxattr(2)", target_needs=("user_xattrs",))
def test_a_user_attribute_never_reaches_what_a_symlink_leads_to(subject, host):
    """A user attribute given to a symlink, by whatever route, is left out, or its layer refused."""
    keep_outside(subject, host, NOT_HERE, xattrs={"user.evil": b"1"})


@hostile("HST-225", f"{ITS_OWN}; xattr(7), lsetxattr(2)", target_needs=("trusted_xattrs",))
def test_a_trusted_attribute_never_reaches_what_a_symlink_leads_to(subject, host):
    """A trusted attribute given to a symlink is the symlink's own, or left out."""
    keep_outside(subject, host, xattrs={"trusted.evil": b"1"})


@hostile("HST-226", f"{ITS_OWN}; capabilities(7)", target_needs=("file_capabilities",))
def test_capabilities_never_reach_what_a_symlink_leads_to(subject, host):
    """Capabilities given to a symlink make no program outside a privileged one."""
    keep_outside(subject, host, NOT_HERE, xattrs={"security.capability": CAPABILITY})


@hostile("HST-227", f"{ITS_OWN}; acl(5)", target_needs=("posix_acl",))
@pytest.mark.parametrize("kind", ["access", "default"])
def test_an_access_control_list_never_reaches_what_a_symlink_leads_to(subject, host, kind):
    """An access control list given to a symlink opens nothing outside."""
    keep_outside(subject, host, NOT_HERE, xattrs={f"system.posix_acl_{kind}": ACL})


@hostile("HST-228", f"{ITS_OWN}; POSIX.1-2017 pax: data of a hard link; open(2), O_TRUNC")
@pytest.mark.parametrize("form", ["pax", "ustar", "gnu"])
def test_data_behind_a_hard_link_never_reach_what_a_symlink_leads_to(subject, host, form):
    """The data that an archive has for a hard link are not written through a symlink."""
    with host.canary() as outside:
        for there in (outside.file, f"{outside.path}/new"):
            link = Header(b"h", b"1", size=5, linkname=b"l", mtime_ns=MTIME)
            data = encode(link, form) + padded(b"evil\n")
            plain, after = Symlink("l", to=there), File("after")

            tree = subject.tree_or_refusal(
                Layer(plain, Raw(data), after), codes=("validation-error",)
            )
            assert tree in (None, model.apply(Layer(plain, Hardlink("h", to="l"), after)))


@hostile("HST-229", "fifo(7); open(2), O_EXCL; PROTOCOL.md, 3.2")
@pytest.mark.parametrize(
    "entries",
    [
        [Fifo("p"), File("p", b"data")],
        [Fifo("q"), Hardlink("p", to="q"), File("p", b"data")],
        [Fifo("p"), Dir("p"), File("p/f", b"data")],
        [Fifo("p", mode=0o4777), Symlink("p", to="q"), Fifo("q")],
    ],
    ids=["file", "one of two links", "directory", "symlink"],
)
def test_a_fifo_is_replaced_and_never_written_to(subject, host, entries):
    """An entry of a fifo's name takes its place; nobody waits for a reader."""
    layer = Layer(*entries)

    with host.canary():
        assert subject.tree(layer) == model.apply(layer)


@hostile(
    "HST-230",
    "mknod(2); open(2), O_EXCL; PROTOCOL.md, 3.2 and 3.9",
    needs=("devices",),
    target_needs=("can_mknod_device",),
)
@pytest.mark.parametrize(
    "entries",
    [
        [CharDevice("p", 1, 3), File("p", b"data")],
        [BlockDevice("q", 259, 70000), Hardlink("p", to="q"), File("p", b"data")],
        [CharDevice("p", 1, 3), Symlink("p", to="q"), CharDevice("q", 1, 5, mode=0o600)],
        [BlockDevice("p", 0, 0)],
    ],
    ids=["file", "one of two links", "symlink", "block device 0:0"],
)
def test_a_device_is_replaced_and_never_written_to(subject, host, entries):
    """An entry of a device's name takes its place; the device is never opened."""
    base, layer = Layer(File("p", b"below")), Layer(*entries)

    with host.canary():
        assert subject.tree(base, layer) == model.apply(base, layer)


@hostile("HST-231", "mknod(2), EPERM; PROTOCOL.md, 8: devices", needs=("devices",))
def test_a_device_that_may_not_be_made_becomes_nothing_else(subject, host):
    """Without CAP_MKNOD no other file is made of a device: it is left out, or its layer refused.

    A daemon that was started before may have the capability, and makes it.
    """
    weak = subject.under('set -- setpriv --bounding-set -mknod --inh-caps -mknod "$@"')
    layer = Layer(Dir("dev"), CharDevice("dev/null", 1, 3), BlockDevice("dev/x", 7, 0), File("f"))

    with host.canary():
        tree = weak.tree_or_refusal(layer, codes=("permission-denied",))
        assert tree in (None, model.apply(Layer(Dir("dev"), File("f"))), model.apply(layer))


#: All that overlayfs's page and its source name, and one that no kernel knows yet.
MARKS = {
    "opaque": b"y", "redirect": b"/other", "metacopy": b"", "origin": b"\x00\xfb\x1d\x00\x01",
    "impure": b"y", "nlink": b"U+7", "upper": b"\x00", "uuid": b"x" * 16, "protattr": b"i",
    "whiteout": b"y", "xwhiteouts": b"y", "verity": b"", "new-in-a-later-kernel": b"1",
}  # fmt: skip
BASE = Layer(Dir("d"), File("d/below"), Dir("other"), File("other/f"), File("other/below"))


@hostile("HST-232", OVERLAY, SHOULD)
@pytest.mark.parametrize("space", ["trusted", "user"])
@pytest.mark.parametrize("nested", [False, True], ids=["plain", "nested"])
def test_no_mark_of_overlayfs_is_taken_whatever_it_is_called(subject, host, space, nested):
    """No attribute below overlayfs's prefix is taken, known or not, nor any escaped for nesting."""
    prefix = f"{space}.overlay.overlay." if nested else f"{space}.overlay."
    marks = {f"{prefix}{name}": value for name, value in MARKS.items()}
    forged = Layer(Dir("d", xattrs=marks), File("d/f", b"", xattrs=marks), File("f", xattrs=marks))
    honest = Layer(Dir("d"), File("d/f", b""), File("f"))

    with host.canary():
        tree = subject.tree_or_refusal(BASE, forged, codes=("hostile-layer",))
        assert tree in (None, model.apply(BASE, honest))


def marked(where, marks):
    """Return forged entries and what is honest of them."""
    libarchive = [(b"LIBARCHIVE.xattr." + name.encode(), b"eQ") for name in marks]
    schily = [(b"SCHILY.xattr." + name.encode(), value) for name, value in marks.items()]
    raw = encode(Header(b"d/", b"5", mode=0o755, mtime_ns=MTIME), "pax")
    link = encode(Header(b"h", b"1", linkname=b"d/f", mtime_ns=MTIME, records=schily), "pax")
    return {
        "the root": ([Dir("./", xattrs=marks)], [Dir("./")]),
        "a symlink": ([Symlink("d/l", to="x", xattrs=marks)], [Symlink("d/l", to="x")]),
        "a fifo": ([Fifo("d/p", xattrs=marks)], [Fifo("d/p")]),
        "a hard link": (
            [File("d/f"), Raw(link)],
            [File("d/f"), Hardlink("h", to="d/f")],
        ),
        "libarchive's records": ([Raw(pax(libarchive) + raw)], [Dir("d")]),
        "a global header": ([Raw(pax(schily, b"g")), Dir("d")], [Dir("d")]),
    }[where]


@hostile("HST-233", f"{OVERLAY}; POSIX.1-2017 pax, global headers; libarchive, tar(5)", SHOULD)
@pytest.mark.parametrize("space", ["trusted", "user"])
@pytest.mark.parametrize(
    "where",
    [
        "the root", "a symlink", "a fifo", "a hard link", "libarchive's records",
        "a global header",
    ],
)  # fmt: skip
def test_marks_of_overlayfs_are_taken_from_nowhere(subject, host, space, where):
    """Overlayfs's attributes are passed over on any type of file and in any kind of record."""
    names = ("opaque", "redirect", "new-in-a-later-kernel")
    marks = {f"{space}.overlay.{name}": MARKS[name] for name in names}
    forged, honest = marked(where, marks)

    with host.canary():
        tree = subject.tree_or_refusal(BASE, Layer(*forged), codes=("hostile-layer",))
        assert tree in (None, model.apply(BASE, Layer(*honest)))


@hostile("HST-234", "PROTOCOL.md, 3.9; POSIX.1-2017 pax: devmajor and devminor")
@pytest.mark.parametrize(
    "number",
    [b"", b"0000000", b"      0", b"       ", b"0", b"\x80" + bytes(7)],
    ids=["nothing", "octal", "padded", "blank", "short", "base 256"],
)
def test_a_whiteout_device_is_seen_however_its_number_is_written(subject, host, number):
    """A character device 0:0 hides nothing, in whatever form the header has the two zeros."""
    header = encode(Header(b"x", b"3", mode=0o644, mtime_ns=MTIME), "gnu")
    forged = edit(edit(header, "major", number), "minor", number)

    with host.canary():
        tree = subject.tree_or_refusal(
            Layer(File("x")), Layer(Raw(forged)), codes=("hostile-layer", "validation-error")
        )
        assert tree in (None, model.apply(Layer(CharDevice("x", 0, 0, mode=0o644))))


#: Programs that a store, or what it calls, may look for.
PROGRAMS = [
    "sbin/ldconfig", "usr/sbin/ldconfig", "bin/sh", "usr/bin/env", "usr/bin/tar", "bin/gzip",
    "unpigz", "bin/mount", "usr/bin/newuidmap", "hooks/post-apply", "etc/profile.d/a.sh",
    "var/lib/dpkg/info/a.postinst",
]  # fmt: skip


@hostile("HST-235", "execve(2); PROTOCOL.md, 7; image-spec layer.md, File Attributes: mode")
def test_nothing_of_a_layer_is_ever_run(subject, host):
    """Programs in a layer keep their setuid and setgid bits, and no request runs any of them."""
    with host.canary() as outside:
        script = f"#!/bin/sh\necho ran >> {outside.path}/ran\n".encode()
        layer = Layer(*(File(name, script, mode=0o6755) for name in PROGRAMS), compression="gzip")

        assert subject.tree(layer) == model.apply(layer)
        for verb in ("verify", "gc", "stats", "check"):
            if subject.raw.config.declares(verb):
                subject.call(verb)
