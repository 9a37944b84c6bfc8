"""``host.zfs`` without ZFS: what is run, and what is refused. tests/zfs does it for real."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.errors import TargetError
from harness.ledger import Mount
from harness.remote import Completed
from harness.zfs import Zfs, ZfsError

POOL = "layerfs-0123abcd"
EXTRA = "layerfs-00000001"


class Host:
    """Answers commands by their first two words, with text, or with a complaint."""

    workdir = "/t/work"
    remote = SimpleNamespace(name="toy")

    def __init__(self):
        self.facts = {"zfs_pool": POOL, "zfs_vdevs": ["/dev/vdb1"], "zfs_refusal": ""}
        self.calls, self.asked, self.removed = [], [], []
        self.says = {}

    def run(self, argv, **options):
        assert options["env"] == {"LC_ALL": "C"}
        self.calls.append(list(argv))
        self.stdin = options["stdin"]
        said = self.says.get(" ".join(argv[:2]), "")
        if isinstance(said, OSError):
            raise said
        if isinstance(said, bytes):
            return Completed(1, b"", said, 0.0)
        return Completed(0, said.encode(), b"", 0.0)

    def ask(self, what, **fields):
        self.asked.append((what, fields))
        return {"name": EXTRA, "vdevs": ["/t/pools/a"]} if what == "extra_pool" else "/t/pools/half"

    def remove(self, path):
        self.removed.append(path)

    def mounts(self):
        sources = [f"{POOL}/a", f"{POOL}/a/b", f"{POOL}/a@s", f"{POOL}/ab", "none"]
        return [
            Mount(0, n, 0, f"/m{n}", "/", "zfs" if source != "none" else "tmpfs", source, (), ())
            for n, source in enumerate(sources)
        ]


@pytest.fixture
def host():
    return Host()


@pytest.fixture
def zfs(host):
    return Zfs(host, host.ask)


A, SNAPSHOT = f"{POOL}/a", f"{POOL}/a@s"


@pytest.mark.parametrize(
    ("call", "argv"),
    [
        (lambda zfs: zfs.create(A), f"zfs create -p {A}"),
        (lambda zfs: zfs.create(A, {"quota": "8m"}), f"zfs create -p -o quota=8m {A}"),
        (lambda zfs: zfs.create_volume(A), f"zfs create -s -V 16m {A}"),
        (lambda zfs: zfs.clone(SNAPSHOT, f"{A}2"), f"zfs clone {SNAPSHOT} {A}2"),
        (lambda zfs: zfs.snapshot(SNAPSHOT), f"zfs snapshot {SNAPSHOT}"),
        (lambda zfs: zfs.snapshot(SNAPSHOT, recursive=True), f"zfs snapshot -r {SNAPSHOT}"),
        (lambda zfs: zfs.hold(SNAPSHOT, "t"), f"zfs hold t {SNAPSHOT}"),
        (lambda zfs: zfs.release(SNAPSHOT, "t"), f"zfs release t {SNAPSHOT}"),
        (lambda zfs: zfs.set(A, {"a:b": "-c d"}), f"zfs set a:b=-c d {A}"),
        (lambda zfs: zfs.inherit(A, "atime"), f"zfs inherit atime {A}"),
        (lambda zfs: zfs.promote(A), f"zfs promote {A}"),
        (lambda zfs: zfs.rename(A, f"{A}2"), f"zfs rename {A} {A}2"),
        (lambda zfs: zfs.mount(A), f"zfs mount {A}"),
        (lambda zfs: zfs.unmount(A), f"zfs unmount {A}"),
        (lambda zfs: zfs.destroy(SNAPSHOT), f"zfs destroy {SNAPSHOT}"),
        (lambda zfs: zfs.destroy(A, recursive=True), f"zfs destroy -r {A}"),
        (lambda zfs: zfs.destroy(A, recursive=True, clones=True), f"zfs destroy -R {A}"),
        (lambda zfs: zfs.export_pool(), f"zpool export {POOL}"),
        (lambda zfs: zfs.export_pool(EXTRA, force=True), f"zpool export -f {EXTRA}"),
        (
            lambda zfs: zfs.import_pool(readonly=True, mount=False),
            f"zpool import -o cachefile=none -N -o readonly=on -d /dev/vdb1 {POOL}",
        ),
    ],
)
def test_each_is_one_command(zfs, host, call, argv):
    call(zfs)
    assert [" ".join(words) for words in host.calls] == [argv]


@pytest.mark.parametrize(
    "call",
    [
        lambda zfs: zfs.destroy("rpool/a"),
        lambda zfs: zfs.destroy("-r"),
        lambda zfs: zfs.wipe("tank/a"),
        lambda zfs: zfs.destroy(f"{POOL}x/a"),
        lambda zfs: zfs.destroy(f"{POOL}/a\n"),
        lambda zfs: zfs.create(SNAPSHOT),
        lambda zfs: zfs.snapshot(A),
        lambda zfs: zfs.clone(A, A),
        lambda zfs: zfs.hold(SNAPSHOT, "-r"),
        lambda zfs: zfs.get(A, "-o"),
        lambda zfs: zfs.set(A, {"a=b": "c"}),
        lambda zfs: zfs.datasets("/etc"),
        lambda zfs: zfs.mounts("tank"),
        lambda zfs: zfs.export_pool("tank"),
        lambda zfs: zfs.receive("/f", f"{A}@-r;x"),
    ],
)
def test_other_names_are_mistakes_and_nothing_is_run(zfs, host, call):
    with pytest.raises(ValueError, match="is not like"):
        call(zfs)
    assert host.calls == []


def test_what_is_there_is_listed(zfs, host):
    host.says = {
        "zfs list": f"{A}\n{A}/b\n", "zpool list": f"{POOL}\tONLINE\ntank\tDEGRADED\n",
        "zfs holds": f"{SNAPSHOT}\tb\tx\n{SNAPSHOT}\ta\tx\n", "zfs get": "a:b\tx\ty\nquota\t5\n",
    }  # fmt: skip
    assert zfs.datasets(A) == [A, f"{A}/b"]
    assert zfs.snapshots(A) == [A, f"{A}/b"]
    assert zfs.exists(A)
    assert zfs.pools() == {POOL: "ONLINE", "tank": "DEGRADED"}
    assert zfs.holds(SNAPSHOT) == ["a", "b"]
    assert zfs.properties(A) == {"a:b": "x\ty", "quota": "5"}
    host.says["zfs get"] = "two\nlines\n"
    assert zfs.get(A, "a:b") == "two\nlines"
    host.says["sh -c"] = "used\t1\navailable\t2\nreferenced\t3\n"
    assert zfs.space(A) == {"used": 1, "available": 2, "referenced": 3}
    assert host.calls[-1][-2:] == [POOL, A]
    assert [mount.target for mount in zfs.mounts(A)] == ["/m0", "/m1", "/m2"]


def test_what_is_missing_is_told_from_what_is_refused(zfs, host):
    host.says = {
        "zfs list": b"cannot open: dataset does not exist\n",
        "zfs destroy": b"cannot destroy: dataset does not exist\n",
    }
    assert zfs.datasets(A) == zfs.snapshots(A) == []
    assert not zfs.exists(A)
    zfs.destroy(A, missing_ok=True)
    with pytest.raises(ZfsError, match=f"zfs destroy {A}: cannot destroy: dataset does not"):
        zfs.destroy(A)
    host.says = {"zfs list": b"permission denied", "zfs destroy": b"busy"}
    for call in (lambda: zfs.datasets(A), lambda: zfs.destroy(A, missing_ok=True)):
        with pytest.raises(ZfsError, match=r"permission denied|busy"):
            call()
    host.says = {"zfs create": FileNotFoundError(2, "No such file")}
    with pytest.raises(ZfsError, match="zfs: No such file"):
        zfs.create(A)


def test_a_tree_of_datasets_goes_at_once(zfs, host):
    zfs.wipe(A)
    (words,) = host.calls
    assert (words[:2], words[-3:]) == (["zfs", "program"], [POOL, "-", A])
    assert b"zfs.sync.destroy" in host.stdin


def test_what_does_not_go_at_once_goes_one_by_one_or_says_why(zfs, host):
    host.says = {"zfs program": b"Channel program execution failed"}
    zfs.wipe(A)
    assert host.calls[-1] == ["zfs", "destroy", "-r", A]
    host.says["zfs destroy"] = b"cannot destroy: dataset does not exist"
    zfs.wipe(A)
    host.says["zfs destroy"] = b"cannot destroy: filesystem has dependent clones"
    with pytest.raises(ZfsError, match="has dependent clones"):
        zfs.wipe(A)


def test_streams_are_files_of_the_host(zfs, host):
    zfs.send(SNAPSHOT, "/f", base=f"{A}@r")
    zfs.receive("/f", A)
    assert [words[4:] for words in host.calls] == [
        ["/f", "-i", f"{A}@r", SNAPSHOT],
        ["/f", "-u", A],
    ]


def test_a_fresh_dataset_goes_with_all_below_it(zfs, host):
    with pytest.raises(RuntimeError), zfs.dataset("x") as name:
        raise RuntimeError
    with zfs.dataset("x") as other:
        assert name != other
    assert host.calls[1][-1] == name
    assert host.calls[1][1] == "program"


def test_a_pool_that_was_exported_is_imported_unless_it_has_been(zfs, host):
    host.says = {"zpool list": ""}
    with zfs.exported():
        pass
    host.says = {"zpool list": f"{POOL}\tONLINE\n"}
    with zfs.exported():
        pass
    assert [words[1] for words in host.calls] == ["export", "list", "import", "export", "list"]


def test_half_of_a_mirror_is_there_only_for_a_while(zfs, host):
    host.says = {"zpool get": "1000\n"}
    with pytest.raises(RuntimeError), zfs.degraded():
        raise RuntimeError
    assert [" ".join(words[1:]) for words in host.calls][1:] == [
        f"attach {POOL} /dev/vdb1 /t/pools/half", f"wait -t resilver {POOL}",
        f"offline {POOL} /t/pools/half", f"detach {POOL} /t/pools/half",
    ]  # fmt: skip
    assert host.asked[0][1]["size"] == 2000
    assert host.removed == ["/t/pools/half"]


def test_faults_end_with_their_context(zfs, host):
    host.says = {"zinject -d": "Added handler 7 with the following properties:\n"}
    with zfs.injected("io", on="write"):
        pass
    assert [words[:3] for words in host.calls[1:]] == [
        ["zinject", "-c", "7"],
        ["zpool", "clear", POOL],
    ]
    host.says = {"zinject -d": "?"}
    with pytest.raises(ZfsError, match="did not say"), zfs.injected("io"):
        pass


def test_a_second_pool_has_vdevs_of_its_own_until_it_goes(zfs, host):
    with zfs.second_pool(mirror=True) as name:
        assert (name, zfs.vdevs(name)) == (EXTRA, ["/t/pools/a"])
        assert zfs.vdevs() == ["/dev/vdb1"]
    assert [what for what, _ in host.asked] == ["extra_pool", "drop_pool"]
    assert host.asked[0][1]["files"] == 2
    with zfs.second_pool(size=1 << 27):
        assert host.asked[-1][1]["files"] == 1
    with zfs.second_pool():
        assert host.asked[-1][1]["files"] == 0


@pytest.mark.parametrize(("refusal", "said"), [("no /dev/zfs", "no /dev/zfs"), ("", "no case has")])
def test_without_a_pool_it_is_said_why(zfs, host, refusal, said):
    host.facts = {"zfs_refusal": refusal}
    with pytest.raises(TargetError, match=f"toy has no pool: {said}"):
        _ = zfs.pool
