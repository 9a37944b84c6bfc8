"""What ZFS is asked for and how it answers, on a real pool, by both ways: they must be alike.

Run by pytest, or on a machine without it, from the root of the repository:
``python3 -m unittest -v tests/layerfs/zfs/test_contract.py``. Needs root, ZFS, and 200 MB in TMPDIR
for sparse files. The pools are its own: ``zfslib-`` and the process's number.
"""

import contextlib
import errno
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

from layerfs.errors import ValidationError
from layerfs.zfs import Obstacle, ZfsFailure, open_zfs, programs, properties
from layerfs.zfs.failure import ECKSUM, ZFS_ERR_STREAM_TRUNCATED

POOL = f"zfslib-{os.getpid()}"
OTHER = f"zfslib-{os.getpid()}-other"


def command(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


def open_version():
    text = Path("/sys/module/zfs/version").read_text()
    return tuple(int(part) for part in text.split("-")[0].split(".")[:2])


def setUpModule():
    if not os.path.exists("/dev/zfs") or os.geteuid():
        raise unittest.SkipTest("the contract with ZFS needs root and /dev/zfs")
    folder = tempfile.TemporaryDirectory(prefix="zfslib-")
    unittest.addModuleCleanup(folder.cleanup)
    for name, size in ((POOL, 400), (OTHER, 100)):
        vdev = Path(folder.name, name)
        with vdev.open("wb") as file:
            file.truncate(size << 20)
        command("zpool", "create", "-O", "mountpoint=none", name, str(vdev))
        unittest.addModuleCleanup(command, "zpool", "destroy", name)


@contextlib.contextmanager
def fails(number, name, operation):
    """The block must fail so, by both ways alike."""
    failed = None
    try:
        yield
    except ZfsFailure as failure:
        failed = failure
    assert failed is not None, f"it did not fail with {errno.errorcode.get(number, number)}"
    told = failed.errno, failed.name, failed.operation
    assert told == (number, name, operation), (told, failed.text)
    assert "\n" not in str(failed)


class Contract:
    """One test case for each way; ``self.top`` is a filesystem of the test alone."""

    way = None

    def setUp(self):
        self.zfs = open_zfs(self.way)
        self.top = f"{POOL}/{self.way[:3]}-{self._testMethodName}"[:100]
        self.zfs.create(self.top, {"mountpoint": "legacy"})
        folder = tempfile.TemporaryDirectory(prefix="zfslib-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def below(self, *parts):
        return "/".join([self.top, *parts])

    def layer(self, name, parent=None):
        """A filesystem with its snapshot, as the layers are."""
        dataset = self.below(name)
        if parent is None:
            self.zfs.create(dataset)
        else:
            self.zfs.clone(f"{self.below(parent)}@layer", dataset)
        self.zfs.snapshot([f"{dataset}@layer"])
        return dataset

    def there(self):
        return {row.name.removeprefix(f"{self.top}/") for row in self.zfs.children(self.top)}

    @contextlib.contextmanager
    def mounted(self, name):
        command("mount", "-t", "zfs", name, str(self.folder))
        try:
            yield self.folder
        finally:
            command("umount", str(self.folder))

    def filled(self, dataset, size):
        with self.mounted(dataset) as root:
            Path(root, "file").write_bytes(random.Random(1).randbytes(size))

    def sent(self, path, snapshot, from_=None):
        with path.open("wb") as file:
            self.zfs.send(snapshot, file.fileno(), from_)
        return path

    def received(self, path, snapshot, given=None, origin=None):
        with path.open("rb", buffering=0) as file:
            self.zfs.receive(snapshot, file.fileno(), given or {}, origin)


class DatasetsContract(Contract):
    def test_a_filesystem_gets_its_properties_and_is_not_mounted(self):
        given = {
            "acltype": "posix", "atime": "off", "compression": "zstd", "devices": "off",
            "dnodesize": "auto", "exec": "on", "layerfs:text": 'ü "q" \\ ; %\n\t~',
            "layerfs:no": "", "mountpoint": "/nowhere", "quota": "100M", "readonly": "on",
            "recordsize": "64K", "refquota": "none", "relatime": "on", "setuid": "off",
            "snapdir": "visible", "sync": "disabled", "xattr": "dir",
        }  # fmt: skip
        self.zfs.create(self.below("a"), given)
        found = self.zfs.properties(self.below("a"), [*given, "canmount", "mounted", "type"])
        values = {name: one.value for name, one in found.items()}
        want = given | {
            "quota": str(100 << 20), "recordsize": "65536", "refquota": "0", "canmount": "noauto",
            "mounted": "no", "type": "filesystem",
        }  # fmt: skip
        assert values == want
        assert {one.source for one in found.values()} == {"local", "-"}

    def test_every_value_that_may_be_set_is_what_the_kernel_makes_of_it(self):
        for number in range(max(map(len, properties._INDEXES.values()))):
            values = {name: [*of][number % len(of)] for name, of in properties._INDEXES.items()}
            dataset = self.below(str(number))
            self.zfs.create(dataset, values)
            listed = ("zfs", "get", "-Hp", "-o", "value", ",".join(values), dataset)
            printed = dict(zip(values, command(*listed).splitlines(), strict=True))
            if printed["xattr"] == "on":  # of the two, the one that this version means by it
                printed["xattr"] = "sa" if open_version() >= (2, 2) else "dir"
            assert printed == values

    def test_a_filesystem_that_is_there_is_not_made_again(self):
        with fails(errno.EEXIST, self.top, "create"):
            self.zfs.create(self.top)

    def test_a_missing_parent_is_named(self):
        with fails(errno.ENOENT, self.below("no"), "create"):
            self.zfs.create(self.below("no", "a"))
        with fails(errno.ENOENT, "zfslib-none", "create"):
            self.zfs.create("zfslib-none/a")

    def test_nothing_that_zfs_would_mount_is_made(self):
        for call in (self.zfs.create, lambda name, given: self.zfs.clone("p/a@b", name, given)):
            try:
                call(self.below("a"), {"canmount": "on"})
            except ValidationError:
                continue
            raise AssertionError("canmount=on was taken")

    def test_a_clone_has_its_origin_and_properties(self):
        self.layer("a")
        origin = self.below("a@layer")
        self.zfs.clone(origin, self.below("c"), {"layerfs:c": "1", "readonly": "on"})
        found = self.zfs.properties(self.below("c"), ["origin", "layerfs:c", "readonly", "mounted"])
        assert [one.value for one in found.values()] == [origin, "1", "on", "no"]

    def test_what_a_clone_lacks_is_named(self):
        self.layer("a")
        with fails(errno.ENOENT, self.below("a@no"), "clone"):
            self.zfs.clone(self.below("a@no"), self.below("c"))
        with fails(errno.ENOENT, self.below("no"), "clone"):
            self.zfs.clone(self.below("a@layer"), self.below("no", "c"))
        with fails(errno.EEXIST, self.below("a"), "clone"):
            self.zfs.clone(self.below("a@layer"), self.below("a"))
        with fails(errno.EXDEV, f"{OTHER}/c", "clone"):
            self.zfs.clone(self.below("a@layer"), f"{OTHER}/c")

    def test_a_mounted_filesystem_is_renamed_and_stays_mounted(self):
        self.zfs.create(self.below("a"))
        with self.mounted(self.below("a")):
            self.zfs.rename(self.below("a"), self.below("b"))
            assert self.zfs.properties(self.below("b"), ["mounted"])["mounted"].value == "yes"
        assert self.there() == {"b"}

    def test_a_rename_that_is_not_possible_says_why(self):
        self.layer("a")
        self.layer("b")
        for to, number, name in (
            (self.below("b"), errno.EEXIST, self.below("a")),
            (self.below("no", "a"), errno.ENOENT, self.below("no")),
            (self.below("a", "b"), errno.EINVAL, self.below("a")),
            (f"{OTHER}/a", errno.EXDEV, self.below("a")),
        ):
            with fails(number, name, "rename"):
                self.zfs.rename(self.below("a"), to)
        with fails(errno.ENOENT, self.below("no"), "rename"):
            self.zfs.rename(self.below("no"), self.below("c"))

    def test_a_promoted_clone_owns_the_snapshots(self):
        self.layer("a")
        self.zfs.clone(self.below("a@layer"), self.below("c"))
        self.zfs.promote(self.below("c"))
        assert self.zfs.facts_of(self.below("a")).origin == self.below("c@layer")

    def test_a_promotion_that_is_not_possible_says_why(self):
        self.layer("a")
        self.layer("c", "a")
        with fails(errno.EEXIST, self.below("c@layer"), "promote"):
            self.zfs.promote(self.below("c"))
        with fails(errno.EINVAL, self.below("a"), "promote"):
            self.zfs.promote(self.below("a"))
        with fails(errno.ENOENT, self.below("no"), "promote"):
            self.zfs.promote(self.below("no"))

    def test_user_properties_are_set_and_taken_away(self):
        self.zfs.create(self.below("a"), {"layerfs:gone": "1", "layerfs:kept": "1"})
        given = {
            "layerfs:dash": "-x", "layerfs:empty": "", "layerfs:odd": "ü;\n\1%\udcff",
            "layerfs:long": "x" * 8191,
        }  # fmt: skip
        self.zfs.set_user_properties(self.below("a"), given | {"layerfs:gone": None})
        found = self.zfs.properties(self.below("a"), [*given, "layerfs:gone", "layerfs:kept"])
        values = {name: one and one.value for name, one in found.items()}
        assert values == given | {"layerfs:gone": None, "layerfs:kept": "1"}
        with fails(errno.ENOENT, self.below("no"), "set"):
            self.zfs.set_user_properties(self.below("no"), {"layerfs:a": "1"})

    def test_a_snapshot_has_user_properties_too(self):
        self.layer("a")
        self.zfs.set_user_properties(self.below("a@layer"), {"layerfs:a": "1"})
        found = self.zfs.properties(self.below("a@layer"), ["layerfs:a"])["layerfs:a"]
        assert found == ("1", "local")


class SnapshotsContract(Contract):
    def test_snapshots_are_all_taken_or_none(self):
        self.layer("a")
        self.zfs.create(self.below("b"))
        with fails(errno.EEXIST, self.below("a@layer"), "snapshot"):
            self.zfs.snapshot([self.below("b@layer"), self.below("a@layer")])
        with fails(errno.ENOENT, self.below("no@layer"), "snapshot"):
            self.zfs.snapshot([self.below("b@layer"), self.below("no@layer")])
        assert not self.zfs.exists(self.below("b@layer"))
        self.zfs.snapshot([self.below("b@x"), self.below("a@x")], {"layerfs:s": "v"})
        for name in ("a@x", "b@x"):
            found = self.zfs.properties(self.below(name), ["layerfs:s"])["layerfs:s"]
            assert found == ("v", "local")

    def test_snapshots_are_all_destroyed_or_none(self):
        self.layer("a")
        self.layer("b", "a")
        with fails(errno.EEXIST, self.below("a@layer"), "destroy snapshots"):
            self.zfs.destroy_snapshots([self.below("b@layer"), self.below("a@layer")])
        assert self.zfs.exists(self.below("b@layer"))
        self.zfs.destroy_snapshots([self.below("b@layer"), self.below("no@x"), self.below("b@x")])
        assert not self.zfs.exists(self.below("b@layer"))

    def test_a_deferred_snapshot_goes_with_its_last_clone(self):
        self.layer("a")
        self.zfs.clone(self.below("a@layer"), self.below("c"))
        self.zfs.destroy_snapshots([self.below("a@layer")], defer=True)
        asked = self.zfs.properties(self.below("a@layer"), ["defer_destroy"])
        assert asked["defer_destroy"].value == "on"
        self.zfs.destroy(self.below("c"))
        assert not self.zfs.exists(self.below("a@layer"))

    def test_a_mounted_snapshot_stays(self):
        self.layer("a")
        with self.mounted(self.below("a@layer")):
            for defer in (False, True):
                with fails(errno.EBUSY, self.below("a@layer"), "destroy snapshots"):
                    self.zfs.destroy_snapshots([self.below("a@layer")], defer=defer)

    def test_a_hold_keeps_a_snapshot(self):
        self.layer("a")
        held = self.below("a@layer")
        self.zfs.hold(held, "layerfs:x")
        with fails(errno.EBUSY, held, "destroy snapshots"):
            self.zfs.destroy_snapshots([held])
        with fails(errno.EEXIST, held, "hold"):
            self.zfs.hold(held, "layerfs:x")
        with fails(errno.ESRCH, held, "release"):
            self.zfs.release(held, "layerfs:y")
        self.zfs.release(held, "layerfs:x")
        self.zfs.destroy_snapshots([held])
        for call in (self.zfs.hold, self.zfs.release):
            with fails(errno.ENOENT, held, call.__name__):
                call(held, "layerfs:x")


class RemovalContract(Contract):
    def test_a_filesystem_in_use_is_not_destroyed(self):
        self.layer("a")
        self.zfs.create(self.below("b"))
        self.zfs.create(self.below("b", "child"))
        with fails(errno.EBUSY, self.below("a"), "destroy"):
            self.zfs.destroy(self.below("a"))
        with fails(errno.EEXIST, self.below("b"), "destroy"):
            self.zfs.destroy(self.below("b"))
        with fails(errno.ENOENT, self.below("no"), "destroy"):
            self.zfs.destroy(self.below("no"))
        self.zfs.create(self.below("m"))
        with self.mounted(self.below("m")), fails(errno.EBUSY, self.below("m"), "destroy"):
            self.zfs.destroy(self.below("m"))
        self.zfs.destroy(self.below("m"))
        assert self.there() == {"a", "b"}

    def test_a_line_of_clones_is_removed_whatever_the_order(self):
        names = [f"l{number}" for number in range(12)]
        for name, parent in zip(names, [None, *names], strict=False):
            self.layer(name, parent)
        self.layer("side", "l5")
        shuffled = [self.below(name) for name in [*names, "side", "never-was"]]
        random.Random(7).shuffle(shuffled)
        assert self.zfs.remove(shuffled, snapshot="layer") == []
        assert self.there() == set()
        assert self.zfs.remove(shuffled, snapshot="layer") == []

    def test_children_that_are_given_go_first(self):
        self.layer("a")
        self.zfs.create(self.below("a", "child"))
        given = [self.below("a"), self.below("a", "child")]
        assert self.zfs.remove(given[:1], snapshot="layer") == [
            Obstacle(given[0], f"child {given[1]}")
        ]
        assert self.zfs.remove(given, snapshot="layer") == []
        assert self.there() == set()

    def test_without_its_snapshot_a_filesystem_goes_as_well(self):
        self.layer("a")
        self.zfs.clone(self.below("a@layer"), self.below("c"))
        assert self.zfs.remove([self.below("c"), self.below("a")], snapshot="layer") == []
        assert self.there() == set()

    def test_all_that_is_in_the_way_is_told_and_nothing_is_changed(self):
        for name, parent in (("a", None), ("b", "a"), ("c", "b"), ("d", None), ("e", None)):
            self.layer(name, parent)
        a, b, c, d, e = (self.below(name) for name in "abcde")
        command("zfs", "bookmark", f"{a}@layer", f"{a}#mine")
        self.zfs.hold(f"{b}@layer", "sanoid")
        self.zfs.snapshot([f"{d}@foreign"])
        self.zfs.create(f"{e}/child")
        found = self.zfs.remove([e, d, b, a], snapshot="layer")
        assert sorted(found) == [
            Obstacle(a, f"bookmark {a}#mine"),
            Obstacle(b, f"clone {c}"),
            Obstacle(b, f"hold sanoid on {b}@layer"),
            Obstacle(d, f"snapshot {d}@foreign"),
            Obstacle(e, f"child {e}/child"),
        ]
        assert self.there() == {*"abcde"}
        assert all(self.zfs.exists(f"{one}@layer") for one in (a, b, c, d, e))

    def test_what_is_mounted_is_found_before_anything_is_destroyed(self):
        for name, parent in (("a", None), ("b", "a"), ("c", "b")):
            self.layer(name, parent)
        a, b, c = given = [self.below(name) for name in "abc"]
        busy = "is busy (mounted, or being sent or received)"
        with self.mounted(b):
            assert self.zfs.remove(given, snapshot="layer") == [Obstacle(b, f"{b} {busy}")]
        with self.mounted(f"{a}@layer"):
            found = self.zfs.remove(given, snapshot="layer")
            assert found == [Obstacle(a, f"{a}@layer {busy}")]
        self.zfs.destroy_snapshots([f"{c}@layer"])
        with self.mounted(c):
            assert self.zfs.remove(given, snapshot="layer") == [Obstacle(c, f"{c} {busy}")]
        assert self.there() == {*"abc"}
        assert self.zfs.remove(given, snapshot="layer") == []

    def test_a_removal_that_is_interrupted_is_whole(self):
        """Signals come all the time; SIGALRM stops any system call that can be stopped."""
        names = [f"l{number}" for number in range(20)]
        for name, parent in zip(names, [None, *names], strict=False):
            self.layer(name, parent)
        before = signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        try:
            found = self.zfs.remove([self.below(name) for name in names], snapshot="layer")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert found == []
        assert self.there() == set()


class StreamsContract(Contract):
    def setUp(self):
        super().setUp()
        self.zfs.create(self.below("a"))
        self.filled(self.below("a"), 300_000)
        self.zfs.snapshot([self.below("a@s")])
        self.stream = self.sent(self.folder / "stream", self.below("a@s"))

    def test_a_stream_becomes_a_filesystem_that_is_not_mounted(self):
        given = {"layerfs:r": "ü", "mountpoint": "legacy"}
        self.received(self.stream, self.below("b@s"), given)
        found = self.zfs.properties(self.below("b"), [*given, "canmount", "mounted"])
        assert [tuple(one) for one in found.values()] == [
            ("ü", "local"), ("legacy", "local"), ("noauto", "local"), ("no", "-"),
        ]  # fmt: skip
        guids = [self.zfs.properties(self.below(one), ["guid"]) for one in ("a@s", "b@s")]
        assert guids[0] == guids[1]

    def test_a_stream_of_a_clone_needs_its_origin(self):
        self.zfs.clone(self.below("a@s"), self.below("c"))
        self.filled(self.below("c"), 100_000)
        self.zfs.snapshot([self.below("c@s")])
        stream = self.sent(self.folder / "more", self.below("c@s"), self.below("a@s"))
        self.received(self.stream, self.below("b@s"))
        self.received(stream, self.below("d@s"), {}, self.below("b@s"))
        assert self.zfs.facts_of(self.below("d")).origin == self.below("b@s")
        with fails(errno.ENODEV, self.below("e@s"), "receive"):
            self.received(stream, self.below("e@s"), {}, self.below("d@s"))
        with fails(errno.ENOENT, self.below("no@s"), "receive"):
            self.received(stream, self.below("e@s"), {}, self.below("no@s"))
        assert not self.zfs.exists(self.below("e"))

    def test_the_next_snapshot_is_received_into_the_filesystem(self):
        self.received(self.stream, self.below("b@s"), {"readonly": "on"})
        self.filled(self.below("a"), 200_000)
        self.zfs.snapshot([self.below("a@t")])
        more = self.sent(self.folder / "more", self.below("a@t"), self.below("a@s"))
        self.received(more, self.below("b@t"))
        facts = self.zfs.facts_of(self.below("b"))
        assert [one.name for one in facts.snapshots] == [self.below("b@s"), self.below("b@t")]

    def test_a_stream_passes_through_a_pipe(self):
        reader, writer = os.pipe()

        def send():
            with os.fdopen(writer, "wb") as file:
                self.zfs.send(self.below("a@s"), file.fileno())

        thread = threading.Thread(target=send)
        thread.start()
        try:
            self.zfs.receive(self.below("b@s"), reader)
        finally:
            os.close(reader)
            thread.join()
        assert self.zfs.exists(self.below("b@s"))

    def test_a_stream_that_nobody_reads_is_a_broken_pipe(self):
        reader, writer = os.pipe()
        os.close(reader)
        try:
            with fails(errno.EPIPE, self.below("a@s"), "send"):
                self.zfs.send(self.below("a@s"), writer)
        finally:
            os.close(writer)

    def test_what_is_not_whole_is_not_received(self):
        whole = self.stream.read_bytes()
        path = self.folder / "bad"
        for data, number in (
            (b"", errno.EINVAL),
            (b"x" * 5000, errno.EINVAL),
            (whole[:312], ZFS_ERR_STREAM_TRUNCATED),
            (whole[:150_000], ZFS_ERR_STREAM_TRUNCATED),
            (whole[:150_000] + b"\xff\x00\xff" + whole[150_003:], ECKSUM),
        ):
            path.write_bytes(data)
            with fails(number, self.below("b@s"), "receive"):
                self.received(path, self.below("b@s"))
        assert self.there() == {"a"}

    def test_what_cannot_be_sent_or_received_is_named(self):
        for snapshot, from_, number, name in (
            ("a@no", None, errno.ENOENT, "a@no"),
            ("a@s", "a@no", errno.ENOENT, "a@no"),
        ):
            with fails(number, self.below(name), "send"):
                begin = from_ and self.below(from_)
                self.sent(self.folder / "no", self.below(snapshot), begin)
        with fails(errno.ENOENT, self.below("no"), "receive"):
            self.received(self.stream, self.below("no", "b@s"))
        with fails(errno.EEXIST, self.below("a@s"), "receive"):
            self.received(self.stream, self.below("a@s"))


class ReadingContract(Contract):
    def test_properties_are_those_of_the_zfs_command(self):
        self.layer("a")
        self.zfs.clone(self.below("a@layer"), self.below("c"), {"quota": "1G", "layerfs:c": "x"})
        names = [*properties._READABLE, *properties._INDEXES, "quota", "refquota", "recordsize"]
        names += ["mountpoint", "layerfs:c", "layerfs:none"]
        for name in (self.top, self.below("a"), self.below("a@layer"), self.below("c")):
            listed = ",".join(names)
            told = command("zfs", "get", "-Hp", "-o", "property,value,source", listed, name)
            want = dict.fromkeys(names)
            for line in told.splitlines():
                one, value, source = line.split("\t")
                if (value, source) != ("-", "-"):
                    want[one] = (value, source)
            assert self.zfs.properties(name, names) == want

    def test_what_is_not_there_is_not_there(self):
        assert self.zfs.exists(self.top)
        assert not self.zfs.exists(self.below("a"))
        assert not self.zfs.exists(f"{self.top}@s")
        assert not self.zfs.exists("zfslib-none/a")
        for name, call in (
            ("get", lambda one: self.zfs.properties(one, ["guid"])),
            ("list", self.zfs.children),
            ("list", self.zfs.facts_of),
        ):
            for dataset in (self.below("no"), "zfslib-none/a"):
                with fails(errno.ENOENT, dataset, name):
                    call(dataset)

    def test_children_come_with_snapshots_clones_and_properties(self):
        self.zfs.set_user_properties(self.top, {"layerfs:store": "x", "foreign:x": "1"})
        self.layer("a")
        self.layer("b", "a")
        self.zfs.set_user_properties(self.below("b"), {"layerfs:b": "ü b"})
        self.zfs.hold(self.below("a@layer"), "layerfs:x")
        self.zfs.create(self.below("a", "grandchild"))
        command("zfs", "create", "-s", "-V", "1M", self.below("volume"))
        first, second = self.zfs.children(self.top)
        guid = self.zfs.properties(self.below("a"), ["guid"])["guid"].value
        assert (first.name, first.guid, first.origin) == (self.below("a"), int(guid), None)
        assert first.properties == {"layerfs:store": ("x", f"inherited from {self.top}")}
        (snapshot,) = first.snapshots
        assert snapshot.name == self.below("a@layer")
        assert (snapshot.userrefs, snapshot.clones) == (1, (self.below("b"),))
        assert second.origin == snapshot.name
        assert second.properties["layerfs:b"] == ("ü b", "local")

    def test_a_listing_of_many_pages_is_whole(self):
        names = {f"{number:x}-{'0123456789'[number % 10] * 9}" for number in range(16)}
        for name in names:
            self.zfs.create(self.below(name))
        whole = self.zfs.children(self.top)
        rows, programs.PAGE_ROWS = programs.PAGE_ROWS, 4
        try:
            assert self.zfs.children(self.top) == whole
        finally:
            programs.PAGE_ROWS = rows
        assert self.there() == names

    def test_facts_tell_who_keeps_a_dataset(self):
        self.layer("a")
        self.zfs.snapshot([self.below("a@later")])
        self.layer("c", "a")
        self.zfs.create(self.below("a", "child"))
        command("zfs", "hold", "tag of another", self.below("a@later"))
        facts = self.zfs.facts_of(self.below("a"))
        assert facts.children == (self.below("a", "child"),)
        first, second = facts.snapshots
        assert (first.name, first.clones) == (self.below("a@layer"), (self.below("c"),))
        assert second.name == self.below("a@later")
        (held,) = second.holds.items()
        assert held[0] == "tag of another"
        assert abs(held[1] - time.time()) < 3600

    def test_a_pool_tells_its_features(self):
        found = self.zfs.pool_features(POOL)
        assert found.channel_programs
        assert "async_destroy" in found.enabled
        assert found.version == Path("/sys/module/zfs/version").read_text().strip()
        with fails(errno.ENOENT, "zfslib-none", "program"):
            self.zfs.pool_features("zfslib-none")


class FullPoolContract(Contract):
    def test_a_full_pool_refuses_what_is_new_and_lets_go_what_is_old(self):
        pool = f"{POOL}-{self.way[:3]}"
        vdev = self.folder.with_suffix(".vdev")
        self.addCleanup(vdev.unlink)
        with vdev.open("wb") as file:
            file.truncate(64 << 20)
        command(
            "zpool", "create", "-O", "mountpoint=none", "-O", "compression=off", pool, str(vdev)
        )
        self.addCleanup(command, "zpool", "destroy", pool)
        self.zfs.create(f"{pool}/a", {"mountpoint": "legacy"})
        with self.mounted(f"{pool}/a") as root, contextlib.suppress(OSError):
            Path(root, "file").write_bytes(random.Random(1).randbytes(80 << 20))
        command("zpool", "sync", pool)
        with fails(errno.ENOSPC, f"{pool}/b", "create"):
            self.zfs.create(f"{pool}/b")
        with fails(errno.ENOSPC, f"{pool}/a@s", "snapshot"):
            self.zfs.snapshot([f"{pool}/a@s"])
        with self.mounted(f"{pool}/a"):
            assert len(self.zfs.remove([f"{pool}/a"], snapshot="layer")) == 1
        assert self.zfs.remove([f"{pool}/a"], snapshot="layer") == []


CONTRACTS = (
    DatasetsContract, SnapshotsContract, RemovalContract, StreamsContract, ReadingContract,
    FullPoolContract,
)  # fmt: skip


def load_tests(loader, _standard, _pattern):
    """All contracts by both ways; unittest calls this, and pytest has the classes below."""
    kinds = [one for name, one in globals().items() if name.startswith("Test")]
    return unittest.TestSuite(loader.loadTestsFromTestCase(kind) for kind in kinds)


for _contract in CONTRACTS:
    for _way in ("libzfs_core", "command"):
        _name = f"Test{_contract.__name__.removesuffix('Contract')}By{_way.title()}"
        globals()[_name] = type(_name, (_contract, unittest.TestCase), {"way": _way})
del _contract, _way, _name
