"""``host.zfs`` and the ledger against real ZFS."""

from __future__ import annotations

import contextlib

import pytest

from harness.errors import TargetError
from harness.ledger import difference
from harness.zfs import ZfsError


def lines(host, before):
    return difference(before, host.ledger())


def test_what_is_made_is_seen_and_told(host, zfs):
    before = host.ledger()
    with zfs.dataset("seen", {"quota": "64m", "com.example:who": "ä\tb\nc"}) as name:
        snapshot = zfs.snapshot(f"{name}@one")
        clone = zfs.clone(snapshot, f"{name}-clone", {"readonly": "on"})
        zfs.hold(snapshot, "a tag")
        assert zfs.datasets(name) == [name]
        assert zfs.snapshots(name) == [snapshot]
        assert zfs.holds(snapshot) == ["a tag"]
        assert zfs.exists(snapshot)
        assert not zfs.exists(f"{name}@two")
        assert zfs.datasets(f"{name}/none") == []
        assert zfs.get(clone, "origin") == snapshot
        assert zfs.get(name, "quota") == str(64 << 20)
        assert zfs.get(name, "com.example:who") == "ä\tb\nc"
        assert zfs.properties(clone) == {"readonly": "on"}
        ledger = host.ledger().zfs
        assert ledger.holds == {(snapshot, "a tag")}
        assert ledger.properties[name] == {"quota": str(64 << 20), "com.example:who": "ä\tb\nc"}
        assert ledger.entries[clone].origin == snapshot
        assert lines(host, before) == [
            f"left: dataset {name} with 1 below it",
            f"left: dataset {clone} (clone of {snapshot})",
        ]
        zfs.release(snapshot, "a tag")
        zfs.destroy(clone)
    assert lines(host, before) == []


def test_what_changes_on_a_dataset_is_told(host, zfs, place):
    snapshot = zfs.snapshot(f"{place}@one")
    clone = zfs.clone(snapshot, f"{place}/clone")
    volume = zfs.create_volume(f"{place}/volume")
    before = host.ledger()
    zfs.set(place, {"readonly": "on", "com.example:a": "1"})
    zfs.hold(snapshot, "keep")
    zfs.destroy(volume)
    assert lines(host, before) == [
        f"gone: volume {volume}",
        f"left: hold 'keep' on {snapshot}",
        f"changed: property com.example:a of {place}: not set before, '1' now",
        f"changed: property readonly of {place}: not set before, 'on' now",
    ]
    zfs.inherit(place, "readonly")
    zfs.release(snapshot, "keep")
    zfs.promote(clone)
    zfs.promote(place)
    zfs.rename(clone, f"{place}/other")
    assert zfs.datasets(place) == [place, f"{place}/other"]
    zfs.destroy(f"{place}/other")
    zfs.rename(snapshot, f"{place}@two")
    assert zfs.snapshots(place) == [f"{place}@two"]
    zfs.destroy(f"{place}@two")
    zfs.create(place + "/a/b/c")
    zfs.snapshot(f"{place}@all", recursive=True)
    assert len(zfs.snapshots(place)) == 4
    zfs.destroy(f"{place}/a", recursive=True)
    zfs.destroy(f"{place}/a", recursive=True, missing_ok=True)


def test_what_zfs_refuses_is_told_in_its_words(zfs, place):
    snapshot = zfs.snapshot(f"{place}@one")
    zfs.clone(snapshot, f"{place}/clone")
    with pytest.raises(ZfsError, match=r"zfs destroy layerfs-.*has dependent clones") as caught:
        zfs.destroy(snapshot)
    assert caught.value.errno is None
    with pytest.raises(ZfsError, match="does not exist"):
        zfs.get(f"{place}/none", "used")
    zfs.destroy(snapshot, clones=True)


@pytest.mark.parametrize(
    "call",
    [
        lambda zfs: zfs.destroy("rpool/data"),
        lambda zfs: zfs.destroy(f"{zfs.pool}@-r/x"),
        lambda zfs: zfs.create("-r"),
        lambda zfs: zfs.snapshot(f"{zfs.pool}/a"),
        lambda zfs: zfs.get(zfs.pool, "-o"),
        lambda zfs: zfs.hold(f"{zfs.pool}@a", "-r"),
        lambda zfs: zfs.set(zfs.pool, {"a b": "c"}),
        lambda zfs: zfs.export_pool("tank"),
    ],
)
def test_names_that_are_not_ours_are_mistakes(zfs, call):
    with pytest.raises(ValueError, match="is not like"):
        call(zfs)


def test_a_tree_goes_at_once_however_its_clones_hang_together(zfs, place):
    first = zfs.snapshot(f"{zfs.create(f'{place}/a')}@one")
    second = zfs.snapshot(f"{zfs.clone(first, f'{place}/b')}@two")
    zfs.create(f"{place}/c")
    zfs.clone(second, f"{place}/c/d")
    zfs.promote(f"{place}/b")
    zfs.create_volume(f"{place}/volume")
    zfs.wipe(place)
    assert zfs.datasets(place) == []
    zfs.wipe(place)


def test_a_tree_that_something_depends_on_says_on_what(zfs, place):
    snapshot = zfs.snapshot(f"{zfs.create(f'{place}/a')}@one")
    clone = zfs.clone(snapshot, f"{place}-outside")
    with pytest.raises(ZfsError, match="dependent clones"):
        zfs.wipe(place)
    zfs.destroy(clone)
    zfs.hold(snapshot, "tag")
    with pytest.raises(ZfsError, match=r"being held|busy"):
        zfs.wipe(place)
    zfs.release(snapshot, "tag")


def test_mounts_are_those_of_the_dataset_and_below(host, zfs, place):
    at = f"{host.workdir}/mounted"
    zfs.set(place, {"mountpoint": at})
    zfs.create(f"{place}/below")
    snapshot = zfs.snapshot(f"{place}@one")
    host.mkdir(f"{host.workdir}/snapshot")
    assert host.run(["mount", "-t", "zfs", snapshot, f"{host.workdir}/snapshot"]).status == 0
    assert {mount.target for mount in zfs.mounts(place)} == {
        at, f"{at}/below", f"{host.workdir}/snapshot",
    }  # fmt: skip
    assert [mount.target for mount in zfs.mounts(f"{place}/below")] == [f"{at}/below"]
    assert zfs.mounts(f"{place}/bel") == []
    assert host.run(["umount", f"{host.workdir}/snapshot"]).status == 0
    zfs.unmount(f"{place}/below")
    zfs.mount(f"{place}/below")
    zfs.destroy(f"{place}", recursive=True)
    zfs.create(place)
    host.remove(at)
    host.remove(f"{host.workdir}/snapshot")


def test_space_is_counted_when_it_is_written_and_when_it_is_freed(host, zfs, place):
    at = f"{host.workdir}/space"
    zfs.set(place, {"quota": "32m", "mountpoint": at, "compression": "off"})
    empty = zfs.space(place)
    host.write(f"{at}/file", b"x" * (4 << 20))
    full = zfs.space(place)
    assert 4 << 20 <= full["used"] - empty["used"] < 5 << 20
    assert 4 << 20 <= empty["available"] - full["available"] < 5 << 20
    host.remove(f"{at}/file")
    assert zfs.space(place)["used"] - empty["used"] < 1 << 20
    assert full["referenced"] > 4 << 20


def test_streams_go_out_and_in(host, zfs, place):
    zfs.create(f"{place}/from", {"mountpoint": f"{host.workdir}/from"})
    one = zfs.snapshot(f"{place}/from@one")
    host.write(f"{host.workdir}/from/file", b"new")
    two = zfs.snapshot(f"{place}/from@two")
    zfs.send(one, f"{host.workdir}/one")
    zfs.send(two, f"{host.workdir}/two", base=one)
    copy = zfs.receive(f"{host.workdir}/one", f"{place}/copy")
    zfs.receive(f"{host.workdir}/two", copy)
    assert zfs.get(f"{copy}@two", "guid") == zfs.get(two, "guid")
    with pytest.raises(ZfsError, match="receive"):
        zfs.receive(f"{host.workdir}/two", f"{place}/other")
    for name in ("one", "two"):
        host.remove(f"{host.workdir}/{name}")


def test_a_pool_is_exported_and_imported_again(host, zfs, place):
    zfs.create(f"{place}/auto", {"mountpoint": f"{host.workdir}/auto"})
    before = host.ledger()
    with zfs.exported():
        assert zfs.pool not in zfs.pools()
        assert host.ledger().zfs.entries == {}
        assert any(f"gone: pool {zfs.pool}" in line for line in lines(host, before))
    assert host.exists(f"{host.workdir}/auto")
    assert [mount.target for mount in zfs.mounts(place)] == [f"{host.workdir}/auto"]
    with zfs.exported():
        zfs.import_pool(readonly=True, mount=False)
        assert zfs.mounts(place) == []
        with pytest.raises(ZfsError, match="read-only"):
            zfs.set(place, {"readonly": "on"})
        zfs.export_pool()
    after = [line for line in lines(host, before) if "mount of zfs" not in line]
    assert after == []


def test_a_degraded_pool_is_whole_again_afterwards(host, zfs):
    before = host.ledger()
    with zfs.degraded():
        assert zfs.pools()[zfs.pool] == "DEGRADED"
        assert lines(host, before) == [
            f"changed: pool {zfs.pool} was ONLINE and is DEGRADED",
        ]
    assert lines(host, before) == []


@pytest.mark.parametrize(
    ("options", "kind"), [({}, None), ({"size": 128 << 20}, 1), ({"mirror": True}, 2)]
)
def test_a_second_pool_goes_whatever_became_of_it(host, zfs, options, kind):
    before = host.ledger()
    with zfs.second_pool(**options) as name:
        assert name != zfs.pool
        assert kind is None or len(zfs.vdevs(name)) == kind
        zfs.create(f"{name}/x", {"mountpoint": f"{host.workdir}/x"})
        assert host.ledger().zfs.entries.keys() > {name, f"{name}/x"}
        zfs.export_pool(name)
    host.remove(f"{host.workdir}/x")
    assert lines(host, before) == []
    with contextlib.suppress(RuntimeError), zfs.second_pool(**options) as name:
        raise RuntimeError
    assert lines(host, before) == []


def test_injected_faults_are_seen_and_end(host, zfs):
    if not host.facts["zfs_inject"]:
        with pytest.raises(ZfsError, match="zinject"), zfs.injected("io", on="read"):
            pass
        pytest.skip("the host has no zinject")
    before = host.ledger()
    with zfs.injected("io", on="read"):
        assert zfs.pools()[zfs.pool] in {"ONLINE", "DEGRADED"}
    assert lines(host, before) == []


def test_without_a_pool_it_says_why(connect):
    with pytest.raises(TargetError, match="has no pool: no case has asked for one"):
        _ = connect().zfs.pool
