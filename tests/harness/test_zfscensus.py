from __future__ import annotations

import errno

import pytest

from harness import zfscensus

OURS = "layerfs-0123abcd"
LIST = f"""\
{OURS}\tfilesystem\t11\t-\t-
{OURS}/a\tfilesystem\t12\t{OURS}/b@s\t-
{OURS}/a@one\tsnapshot\t13\t-\t2
{OURS}/a@two\tsnapshot\t14\t-\t0
{OURS}/a#mark\tbookmark\t15\t-\t-
"""
GET = f"{OURS}\tmountpoint\tlocal\tnone\n{OURS}/a\tcom.example:x\treceived\tone\ttwo\nthree\n"
HOLDS = f"{OURS}/a@one\ta tag\tSun Nov 30 12:00 2025\n"


@pytest.fixture
def zfs(monkeypatch):
    calls = []
    says = {"list": LIST, "get": GET, "holds": HOLDS}

    def told(argv):
        calls.append(argv)
        said = says[argv[1]]
        if isinstance(said, list):
            said = said.pop(0)
        if isinstance(said, OSError):
            raise said
        return said

    class Running:
        def __init__(self, argv):
            self.argv = argv

        def text(self, **_):
            return told(self.argv)

    def imported(*names):
        monkeypatch.setattr(zfscensus.pools, "imported", lambda: list(names))

    monkeypatch.setattr(zfscensus.zfstool, "Running", Running)
    monkeypatch.setattr(zfscensus.zfstool, "run", lambda *argv, **_: told(argv))
    monkeypatch.setattr(zfscensus.pools, "read", lambda path: path.rpartition("/")[2])
    imported(OURS)
    return calls, says, imported


def test_without_a_pool_of_ours_nothing_is_started(zfs):
    calls, _, imported = zfs
    imported("tank")
    found = zfscensus.count()
    assert found["pools"] == [["tank", "guid", ""]]
    assert found["entries"] == found["holds"] == found["properties"] == []
    assert calls == []


def test_everything_in_our_pools_is_counted_and_of_others_that_they_are_there(zfs):
    calls, _, imported = zfs
    imported(OURS, "tank")
    found = zfscensus.count()
    assert found["pools"] == [[OURS, "guid", "state"], ["tank", "guid", ""]]
    assert [row[:2] for row in found["entries"]] == [
        [OURS, "filesystem"], [f"{OURS}/a", "filesystem"], [f"{OURS}/a@one", "snapshot"],
        [f"{OURS}/a@two", "snapshot"], [f"{OURS}/a#mark", "bookmark"],
    ]  # fmt: skip
    assert found["entries"][1] == [f"{OURS}/a", "filesystem", "12", f"{OURS}/b@s"]
    assert found["holds"] == [[f"{OURS}/a@one", "a tag"]]
    assert found["properties"] == [
        [OURS, "mountpoint", "none"], [f"{OURS}/a", "com.example:x", "one\ttwo\nthree"],
    ]  # fmt: skip
    assert all("tank" not in argv for argv in calls)


def test_only_snapshots_that_are_held_cost_a_third_process(zfs):
    calls, says, _ = zfs
    zfscensus.count()
    assert calls[-1][1:] == ("holds", "-H", f"{OURS}/a@one")
    calls.clear()
    says["list"] = LIST.replace("\t2\n", "\t0\n")
    zfscensus.count()
    assert sorted(argv[1] for argv in calls) == ["get", "list"]


def test_what_vanishes_meanwhile_was_not_there(zfs):
    calls, says, _ = zfs
    says["holds"] = [OSError(None, "dataset does not exist"), HOLDS]
    assert zfscensus.count()["holds"]
    assert len(calls) == 6


@pytest.mark.parametrize("error", [OSError(None, "no"), OSError(errno.ETIMEDOUT, "suspended")])
def test_what_does_not_answer_is_an_error(zfs, error):
    calls, says, _ = zfs
    says["get"] = error
    with pytest.raises(OSError, match=str(error.strerror)):
        zfscensus.count()
    assert len(calls) == (2 if error.errno else 6)
