from __future__ import annotations

from dataclasses import replace

import pytest

from harness.ledger import Ledger, Lock, Message, Mount, Process, difference
from harness.zfsledger import Entry, ZfsLedger

MOUNT = Mount(
    namespace=0, id=5, parent=1, target="/t/a b", root="/", fstype="overlay", source="overlay",
    options=("rw", "relatime"), super_options=("rw",),
)  # fmt: skip
EMPTY = Ledger(
    mounts=frozenset(), processes=frozenset(), devices=frozenset(), files={}, locks=frozenset(),
    descriptors={}, taint=0, messages=(),
)  # fmt: skip


def test_equal_ledgers_do_not_differ():
    full = replace(EMPTY, mounts=frozenset({MOUNT}), files={"/w/x": "file"}, devices={"loop0: /x"})
    assert difference(full, full) == []


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"mounts": frozenset({MOUNT})}, "left: mount of overlay (overlay) on '/t/a b'"),
        (
            {"mounts": frozenset({replace(MOUNT, namespace=77)})},
            "left: mount of overlay (overlay) on '/t/a b' in mount namespace 77",
        ),
        (
            {"processes": frozenset({Process(7, 1, "sleep", "sleep 1000")})},
            "left: process 7 (sleep 1000)",
        ),
        ({"processes": frozenset({Process(7, 1, "gone", "")})}, "left: process 7 (gone)"),
        ({"devices": frozenset({"loop0: /w/disk"})}, "left: device loop0: /w/disk"),
        ({"files": {"/w/\udcff": "file"}}, "left: file '/w/\\udcff'"),
        (
            {"locks": frozenset({Lock("FLOCK", "WRITE", 7, "/w/lock")})},
            "left: lock FLOCK WRITE of process 7 on '/w/lock'",
        ),
        (
            {"zfs": ZfsLedger(entries={"p/a@s": Entry("snapshot", "1")})},
            "left: snapshot p/a@s",
        ),
        ({"taint": 512}, "kernel: taint flags changed from 0 to 512"),
    ],
)
def test_each_thing_left_behind_is_one_line(changed, line):
    assert difference(EMPTY, replace(EMPTY, **changed)) == [line]


def test_what_has_gone_is_told_as_well():
    before = replace(
        EMPTY, mounts=frozenset({MOUNT}), files={"/w/home": "dir"}, devices={"dm-0: v"}
    )
    assert difference(before, EMPTY) == [
        "gone: mount of overlay (overlay) on '/t/a b'",
        "gone: device dm-0: v",
        "gone: dir '/w/home'",
    ]


def test_a_tree_left_behind_is_told_by_its_top():
    files = {"/w/store": "dir", "/w/store/a": "file", "/w/store/b": "dir", "/w/store/b/c": "file",
             "/w/store-2": "file"}  # fmt: skip
    assert difference(EMPTY, replace(EMPTY, files=files)) == [
        "left: dir '/w/store' with 3 below it",
        "left: file '/w/store-2'",
    ]


def test_a_path_that_became_another_kind_is_told():
    before, after = replace(EMPTY, files={"/w/x": "dir"}), replace(EMPTY, files={"/w/x": "symlink"})
    assert difference(before, after) == ["changed: '/w/x' was a dir and is a symlink"]


def test_a_process_number_that_was_used_again_is_another_process():
    before = replace(EMPTY, processes=frozenset({Process(7, 1, "a", "a")}))
    after = replace(EMPTY, processes=frozenset({Process(7, 2, "b", "b")}))
    assert difference(before, after) == ["left: process 7 (b)", "gone: process 7 (a)"]


def test_two_equal_mounts_on_one_target_are_two():
    one, two = {MOUNT}, {MOUNT, replace(MOUNT, id=6, parent=5)}
    before, after = (replace(EMPTY, mounts=frozenset(mounts)) for mounts in (one, two))
    assert len(difference(before, after)) == 1


def test_a_remount_is_no_other_mount():
    readonly = replace(MOUNT, options=("ro",))
    assert readonly.is_readonly
    assert not MOUNT.is_readonly
    before, after = (replace(EMPTY, mounts=frozenset({one})) for one in (MOUNT, readonly))
    assert difference(before, after) == []


def test_descriptors_are_compared_by_what_is_open_how_often():
    before = replace(EMPTY, descriptors={7: ("pipe", "/w/db"), 8: ("pipe",)})
    after = replace(EMPTY, descriptors={7: ("pipe", "/w/db", "/w/db", "socket"), 9: ("pipe",)})
    assert difference(before, after) == [
        "left: descriptor of process 7: '/w/db' (1)",
        "left: descriptor of process 7: 'socket' (1)",
    ]


def test_the_kernels_log_is_told_only_where_the_kernel_is_in_trouble():
    old = Message(1, 4, "WARNING: CPU: 0 PID: 1 at fs/old.c:1")
    before = replace(EMPTY, messages=(old,))
    after = replace(
        EMPTY,
        messages=(
            old,
            Message(2, 3, "overlayfs: too many lower directories, limit is 500"),
            Message(3, 4, "WARNING: CPU: 0 PID: 1 at fs/overlayfs/inode.c:1"),
            Message(4, 1, "anything so loud"),
        ),
    )
    assert difference(before, after) == [
        "kernel: WARNING: CPU: 0 PID: 1 at fs/overlayfs/inode.c:1",
        "kernel: anything so loud",
    ]
    assert difference(before, replace(after, messages=None)) == []


def report(*lines, first=2):
    """Return the kernel's report of a warning, with these lines in the middle."""
    marked = [
        "------------[ cut here ]------------",
        *lines,
        "---[ end trace 0000000000000000 ]---",
    ]
    return tuple(Message(first + number, 4, text) for number, text in enumerate(marked))


OF_THE_HOST = (
    "WARNING: CPU: 0 PID: 39 at mm/page-writeback.c:2568 writeback_iter+0x25a/0x2d0",
    "Call Trace:",
    " zpl_writepages+0xb0/0x1c0 [zfs]",
)


def test_a_defect_of_the_host_that_is_known_is_nobodys_leak():
    after = replace(EMPTY, messages=report(*OF_THE_HOST), taint=512)
    assert difference(EMPTY, after) == []
    assert difference(EMPTY, replace(after, taint=512 + 128)) == [
        "kernel: taint flags changed from 0 to 640"
    ]


@pytest.mark.parametrize(
    ("messages", "first"),
    [
        (report(*OF_THE_HOST[:2]), OF_THE_HOST[0]),
        (report(*OF_THE_HOST)[:-1], OF_THE_HOST[0]),
        (report(*OF_THE_HOST[:2]) + report(OF_THE_HOST[2], first=9), OF_THE_HOST[0]),
        ((*report(*OF_THE_HOST), Message(9, 4, "WARNING: another")), "WARNING: another"),
        ((Message(1, 4, "WARNING: before"), *report(*OF_THE_HOST)), "WARNING: before"),
    ],
)
def test_no_other_report_is_passed_over(messages, first):
    told = difference(EMPTY, replace(EMPTY, messages=messages))
    assert told[0] == f"kernel: {first}"
