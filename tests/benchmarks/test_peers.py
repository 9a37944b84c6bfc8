from pathlib import Path

from benchmarks import images, merging, peers, stacking
from benchmarks.context import Context


def told(monkeypatch, present):
    """A context whose machine has these commands only, and what it is told."""
    monkeypatch.setattr(peers.shutil, "which", lambda name: name if name in present else None)
    said = []
    return Context(None, 1, said.append), said


def test_an_absent_peer_is_named_with_the_command_that_gets_it(monkeypatch):
    told(monkeypatch, {"containerd"})
    assert peers.missing("containerd") == ""
    assert peers.missing("containerd", "ctr") == "ctr is missing (apt-get install containerd)"


def test_an_image_is_measured_beside_those_that_are_here_and_the_others_are_named(monkeypatch):
    context, said = told(monkeypatch, {"umoci"})

    def race(_title, ways, _rounds=None):
        return {way.name: [float(len(ways))] for way in ways}

    monkeypatch.setattr(context, "race", race)
    (task, _) = images.tasks()
    run = task.run.func
    rows = run("image", lambda _log: Path("/nowhere"), 1, context)
    assert [(row.other, row.bar) for row in rows] == [("umoci unpack", 0.25)]
    assert len(said) == 3
    assert all("skipped" in line and "apt-get install" in line for line in said)
    assert len(context.details["skipped"]) == 3


def test_every_whole_image_peer_has_a_bar_and_a_need():
    assert images.BARS.keys() == images.NEEDS.keys()
    assert {need for needs in images.NEEDS.values() for need in needs} <= peers.PEERS.keys()


def test_the_bars_are_those_that_were_promised():
    assert sorted(images.BARS.values()) == [0.25, 0.35, 0.35, 1.0]
    assert (merging.TAR_BAR, merging.BUILDAH_BAR) == (1.5, 0.3)


def test_the_bar_of_a_stack_is_twice_the_bare_calls_and_two_milliseconds():
    bare = 0.004
    assert stacking.bar(bare) * bare == 2 * bare + 0.002


def test_a_storage_keeps_everything_below_its_folder(tmp_path):
    storage = peers.Storage(tmp_path)
    assert storage.env["TMPDIR"] == str(tmp_path / "tmp")
    assert (tmp_path / "tmp").is_dir()
    assert f"[overlay@{tmp_path}/storage+{tmp_path}/run]" in str(storage.copy(Path("/l"))[-1])
    words = [str(word) for word in storage.buildah("images")]
    assert words[:5] == ["buildah", "--root", f"{tmp_path}/storage", "--runroot", f"{tmp_path}/run"]
