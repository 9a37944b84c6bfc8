from __future__ import annotations

import json
from pathlib import Path

import pytest

import harness
from harness import poolprobes, pools, zfstool
from harness.observer import Observer, answer

FOLDER = Path(harness.__file__).parent


@pytest.fixture(scope="module")
def observer():
    return Observer()


def ask(observer, op, **args):
    told = answer(observer, json.dumps({"id": 7, "op": op, "args": args}).encode())
    assert told.pop("id") == 7
    return json.loads(json.dumps(told))


def test_an_answer_carries_the_result(observer, tmp_path):
    assert ask(observer, "exists", path=str(tmp_path)) == {"result": True}
    assert ask(observer, "write", path=f"{tmp_path}/x", data={"base64": "AP8="}) == {"result": None}
    assert ask(observer, "read", path=f"{tmp_path}/x", offset=1, size=9) == {
        "result": {"base64": "/w=="}
    }


def test_what_the_system_refuses_is_told_with_errno_and_path(observer, tmp_path):
    path = f"{tmp_path}/none"
    told = ask(observer, "tree", path=path)
    assert told == {"errno": [2, "No such file or directory", path]}


@pytest.mark.parametrize(
    ("op", "args", "message"),
    [
        ("brew", {}, "AttributeError: 'Observer' object has no attribute 'brew'"),
        ("tree", {}, "TypeError: "),
        (
            "call",
            {"name": "system", "args": ["id"], "options": {}},
            "ValueError: system is not one",
        ),
        ("call", {"name": "chmod", "args": ["/x", "y"], "options": {}}, "TypeError: "),
    ],
)
def test_a_mistake_of_the_caller_is_told_and_survived(observer, op, args, message):
    assert ask(observer, op, **args)["error"].startswith(message)
    assert ask(observer, "ping")["result"] > 0


def test_calls_take_bytes_and_times(observer, tmp_path):
    path = f"{tmp_path}/file"
    Path(path).write_text("x")
    assert ask(observer, "call", name="utime", args=[path], options={"ns": [5, 6]}) == {
        "result": None
    }
    assert Path(path).stat().st_mtime_ns == 6
    assert ask(observer, "listdir", path=str(tmp_path)) == {"result": ["file"]}


def test_writing_into_a_file_keeps_the_rest(observer, tmp_path):
    path = f"{tmp_path}/file"
    for offset, data in ((None, "QUJDREVG"), (2, "eHg=")):  # ABCDEF, then xx
        ask(observer, "write", path=path, data={"base64": data}, offset=offset)
    assert Path(path).read_bytes() == b"ABxxEF"


def test_usage_counts_an_inode_once(observer, tmp_path):
    (tmp_path / "one").write_bytes(b"x" * 1_000_000)
    once = ask(observer, "usage", path=str(tmp_path))["result"]
    (tmp_path / "two").hardlink_to(tmp_path / "one")
    assert 1_000_000 <= once <= 1_200_000
    assert ask(observer, "usage", path=str(tmp_path))["result"] == once
    assert ask(observer, "disk", path=str(tmp_path))["result"]["free"] > 0


def test_where_commands_do_not_run_on_the_host_itself_there_are_no_pools(observer, tmp_path):
    facts = ask(observer, "facts", workdir=str(tmp_path))["result"]
    assert (facts["zfs"], facts["zfs_version"]) == (False, "")
    assert facts["zfs_refusal"] == "pools are made only as root on a host itself"


class Pools:
    """Notes what is asked of :mod:`harness.pools` and of ``zfs``; ``fails`` lets probing fail."""

    def __init__(self, monkeypatch):
        self.made, self.gone, self.set, self.fails = [], [], [], False
        self.seen: list[str] = []
        self.standing: list[str] = []
        monkeypatch.setattr(pools, "find", lambda mark: self.standing if mark else [])
        monkeypatch.setattr(pools, "reimport", self.seen.append)
        monkeypatch.setattr(pools, "make", self.make)
        monkeypatch.setattr(pools, "destroy", lambda *args: self.gone.append(args))
        monkeypatch.setattr(poolprobes, "facts", self.facts)
        monkeypatch.setattr(zfstool, "run", self.run)

    def make(self, *args, **more):
        self.made.append((args, more))
        return {"name": "layerfs-0123abcd", "kind": "disk", "vdevs": ["/dev/vdb1"]}

    def facts(self, *_):
        if self.fails:
            raise OSError(None, "cannot probe")
        return {"zfs_upperdir": True}

    def run(self, *argv):
        self.set.append(argv)
        return '{"zfs_pool": "old"}\n'


@pytest.fixture
def fake(monkeypatch):
    return Pools(monkeypatch)


FOUND = {
    "zfs_pool": "layerfs-0123abcd", "zfs_vdev": "disk", "zfs_vdevs": ["/dev/vdb1"],
    "zfs_upperdir": True,
}  # fmt: skip


@pytest.mark.parametrize(("standing", "mark"), [(False, "/t"), (True, pools.STANDING)])
def test_a_pool_is_marked_with_what_it_goes_with_and_knows_what_it_can(
    observer, fake, standing, mark
):
    told = ask(observer, "pool", workdir="/t/work", standing=standing)
    assert told == {"result": FOUND}
    assert fake.seen == ["pool0"]
    assert fake.made == [(("/t", mark), {"serial": "pool0"})]
    (words,) = fake.set
    assert words[:2] == ("zfs", "set")
    assert json.loads(words[2].partition("=")[2]) == FOUND


def test_the_machines_pool_is_taken_where_there_is_one(observer, fake):
    fake.standing = ["layerfs-00000000"]
    assert ask(observer, "pool", workdir="/t/work", standing=False) == {
        "result": {"zfs_pool": "old"}
    }
    assert fake.made == []


def test_a_pool_that_cannot_be_probed_is_none(observer, fake):
    fake.fails = True
    told = ask(observer, "pool", workdir="/t/work", standing=False)
    assert told == {"errno": [None, "cannot probe", None]}
    assert fake.gone == [("layerfs-0123abcd", "/t")]


def test_further_pools_and_vdevs_are_the_targets(observer, fake, tmp_path):
    work = f"{tmp_path}/work"
    ask(observer, "extra_pool", workdir=work, files=0, size=5)
    ask(observer, "extra_pool", workdir=work, files=2, size=5)
    args = (str(tmp_path), str(tmp_path))
    assert fake.made == [
        (args, {"serial": "pool1", "files": 1, "size": 5}),
        (args, {"serial": "", "files": 2, "size": 5}),
    ]
    ask(observer, "drop_pool", workdir=work, name="layerfs-0123abcd")
    assert fake.gone == [("layerfs-0123abcd", str(tmp_path))]
    path = ask(observer, "spare_vdev", workdir=work, name="x", size=5)["result"]
    assert Path(path).stat().st_size == 5
    assert Path(path).parent.parent == tmp_path
