"""The ledger: what the subject leaves on the host, while it works and when it is done.

Every case ends with a comparison of the whole ledger, and what is left is a verdict of its own.
These cases look closer, or earlier.
"""

import contextlib
import os
import signal
import time

import pytest

from conformance import model
from conformance.clauses import MUST, SHOULD, clause
from conformance.disks import on_disk
from conformance.driver import Driver
from conformance.layers import Dir, File, Layer, Whiteout
from harness.errors import Refused, SubjectCrashed
from harness.ledger import difference

A = Layer(Dir("d"), File("d/a"), File("x"))
B = Layer(Dir("d"), File("d/b"), Whiteout("x"), compression="gzip")


def outside(subject, host):
    """Return what lies in the working directory, but not in the store."""
    files = host.ledger().files
    return {path for path in files if not f"{path}/".startswith(f"{subject.store}/")}


@clause("LDG-001", MUST, "PROTOCOL.md, 7: write nowhere but")
def test_nothing_is_written_but_in_the_store_and_at_the_target(subject, host):
    """While layers are added, stacked and removed, nothing else appears, not even for a while."""
    paths = [subject.put(layer.blob()) for layer in (A, B)]
    before = outside(subject, host)
    digests = [
        subject.call("add", path=path, media_type=layer.media_type).layer.digest
        for path, layer in zip(paths, (A, B), strict=True)
    ]
    assert outside(subject, host) == before
    with subject.stacked(*digests) as root:
        assert host.tree(root) == model.apply(A, B)
        new = outside(subject, host) - before
        assert {path for path in new if not f"{path}/".startswith(f"{root}/")} == set()
    subject.call("remove", digest=A.digest)
    assert outside(subject, host) == before


@clause("LDG-002", MUST, "PROTOCOL.md, 3: a failed operation leaves nothing behind")
def test_refusals_leave_nothing_behind(subject, host):
    """After refusals of every kind the host is as it was, with the store as it was."""
    subject.add(A)
    bad = [
        Layer(File("../evil")),
        Layer(File("a"), File("a/b")),
        Layer(File("f", os.urandom(1 << 20)), end=b"garbage"),
    ]
    paths = [subject.put(layer.blob()) for layer in bad]
    paths.append(subject.put(B.blob()[:-10]))
    before = host.ledger()
    for path in paths:
        media_type = B.media_type if path == paths[-1] else A.media_type
        with contextlib.suppress(Refused):
            digest = subject.call("add", path=path, media_type=media_type).layer.digest
            try:
                subject.unmount(subject.stack(A, digest))
            finally:
                subject.call("remove", digest=digest)
    with contextlib.suppress(Refused):
        subject.stack(A, "sha256:" + "0" * 64)
    subject.expect_service()

    lines = difference(before, host.ledger())
    assert [line for line in lines if subject.store not in line] == []
    assert subject.digests() == {A.digest}


@clause("LDG-003", MUST, "PROTOCOL.md, 2: close; 7")
@pytest.mark.parametrize("process", ["session", "call"])
def test_a_whole_life_leaves_nothing_behind(subject, host, process):
    """When a store is closed and its directory removed, the host is as it was before open."""
    if process == "session" and not subject.raw.config.declares("session"):
        pytest.skip("the subject does not declare: session")
    before = host.ledger()
    directory = host.tmp("life")
    whole = Driver(subject.by(process).raw, host, directory, f"{directory}/store")
    whole.open()
    with whole.stacked(A, B) as root:
        assert host.tree(root) == model.apply(A, B)
    root = whole.stack(B, A)
    whole.end()
    whole.restart()

    assert not host.exists(root)
    assert difference(before, host.ledger()) == []


@clause("LDG-004", SHOULD, "PROTOCOL.md, 3", needs=("session",), target_needs=("mount_tmpfs",))
def test_work_that_is_undone_leaves_the_subject_as_it_was(subject, host):
    """Adding, stacking, unmounting and removing again and again uses up nothing."""
    seen = []
    with subject.by("session").raw as raw, on_disk(raw, host, 64) as small:
        for cycle in range(45):
            layer = Layer(File("f", os.urandom(400_000)), compression="gzip")
            path = subject.put(layer.blob())
            small.call("add", path=path, media_type=layer.media_type)
            host.remove(path)
            assert small.tree(layer.digest) == model.apply(layer)
            small.call("remove", digest=layer.digest)
            if cycle in {14, 44}:
                seen.append(usage(host, small, small.raw.session_pid))

    (free, inodes, descriptors, memory), later = seen
    assert free - later[0] < 6 << 20  # half of what was added in between
    assert inodes - later[1] < 10
    assert later[2] - descriptors <= 0
    assert later[3] - memory < 4 << 20


def usage(host, small, process):
    """Return free bytes and inodes of a disk, and descriptors and memory of a process."""
    inodes = host.disk(small.store)["inodes_free"]
    status = dict(line.split(b":", 1) for line in host.read(f"/proc/{process}/status").splitlines())
    descriptors = len(host.listdir(f"/proc/{process}/fd"))
    return small.free(), inodes, descriptors, int(status[b"VmRSS"].split()[0]) * 1024


@clause("LDG-005", MUST, "PROTOCOL.md, 3: a process killed at any moment; reported as storage#1136")
@pytest.mark.parametrize("verb", ["stack", "unmount", "remove", "merge"])
def test_what_is_killed_is_cleaned_up_by_open(subject, host, verb):
    """When the subject is killed at work, open finishes or undoes it: no view is left unknown."""
    if verb == "merge" and not subject.raw.config.declares("merge"):
        pytest.skip("the subject does not declare: merge")
    digests = [subject.add(A), subject.add(B)]
    usual = duration(subject, "get", digest=A.digest)
    for moment in (0.3, 0.6, 0.9, 1.2):
        target = subject.path("view")
        if verb == "unmount":
            subject.stack(A, B, target=target)
        fields = {
            "stack": {"digests": digests, "target": target},
            "unmount": {"target": target},
            "remove": {"digest": B.digest},
            "merge": {"digests": digests},
        }[verb]
        pending = subject.begin(verb, **fields)
        time.sleep(usual * moment)  # a moment to be hit, not a condition to be waited for
        pending.signal(signal.SIGKILL)
        with contextlib.suppress(SubjectCrashed):
            pending.result()

        subject.restart()
        subject.open()
        if subject.is_mounted(target):
            assert host.tree(target) == model.apply(A, B)
            subject.unmount(target)
        assert not host.exists(target)
        subject.add(B)
        assert subject.tree(A, B) == model.apply(A, B)


def duration(subject, verb, **fields):
    """Return the seconds that a call of its own process takes."""
    started = time.monotonic()
    subject.begin(verb, **fields).result()
    return time.monotonic() - started
