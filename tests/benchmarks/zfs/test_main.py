import contextlib
import io
import json
import tarfile
from types import SimpleNamespace

import pytest

from benchmarks import machine, program
from benchmarks.packages import BenchError
from benchmarks.zfs import __main__ as main
from harness import boxrecipe
from harness.errors import TargetError
from harness.install import packed


@pytest.fixture
def run(monkeypatch, tmp_path):
    """A function that has the guest find this, or raise it, and returns the exit status."""
    monkeypatch.setattr(program.signal, "signal", lambda _number, _handler: None)

    def run(result):
        def measured(_given):
            if isinstance(result, BaseException):
                raise result
            return {**result, "facts": machine.facts(), "accelerated": False}

        monkeypatch.setattr(main, "_found", measured)
        return main.main(["--output", str(tmp_path)])

    return run


def test_without_root_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(main.os, "geteuid", lambda: 1000)
    assert main.main([]) == 2
    assert "run it as root" in capsys.readouterr().err


def test_the_table_is_shown_and_written_down(run, found, tmp_path, capsys):
    assert run(found()) == 0
    assert "all 9 bars hold" in capsys.readouterr().out
    names = [row["name"] for row in json.loads((tmp_path / "bench-zfs.json").read_text())]
    assert "make and mount a view of 20 layers" in names
    details = json.loads((tmp_path / "bench-zfs-details.json").read_text())
    assert details["contest"] == found()["contest"]
    assert "software emulation" in (tmp_path / "bench-zfs.svg").read_text()


def test_a_bar_that_does_not_hold_is_the_exit_status(run, found, capsys):
    assert run(found(scale={"make a view": {"few": [1.0], "many": [2.0]}})) == 1
    assert "make a view, with 3,000 datasets" in capsys.readouterr().out


@pytest.mark.parametrize("error", [BenchError("no disk"), TargetError("no libvirt")])
def test_what_cannot_be_measured_is_told_in_a_line(error, run, capsys):
    assert run(error) == 2
    assert f"bench-zfs: {error}\n" in capsys.readouterr().err


def test_the_guest_gets_layerfs_and_what_runs_there():
    archive, inside = packed(main._ourselves())
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        names = set(tar.getnames())
    above = main.os.path.normpath(f"{inside}/{main._ABOVE}")
    for needed in ("layerfs/__main__.py", "benchmarks/zfs/guest.py", "harness/pools.py"):
        assert main.os.path.normpath(f"{above}/{needed}") in names


def test_packages_are_downloaded_once_for_a_box(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = []

    def download(line, names, status, folder):
        asked.append((line, names, status))
        folder.mkdir()

    monkeypatch.setattr(main.debian, "download", download)
    monkeypatch.setattr(main.debian, "source", lambda *words: words)
    remote = SimpleNamespace(get=lambda path: f"content of {path}".encode())
    recipe = boxrecipe.load("debian13")
    assert main.debs(remote, recipe) == main.debs(remote, recipe)
    assert asked == [
        (("trixie", recipe.components), main.PEERS, b"content of /var/lib/dpkg/status"),
    ]
    assert main.debs(remote, boxrecipe.load("debian12")) != main.debs(remote, recipe)


class Guest:
    """A remote whose guest writes these lines, and then ends with an error."""

    python = "python3"

    def __init__(self, *lines):
        self.lines = list(lines)
        self.stderr = b"Traceback\nOSError: no pool\n"

    def start(self, words, env, cwd):
        self.started = (words, env, cwd)
        return contextlib.nullcontext(self)

    def read_line(self, _timeout):
        if not self.lines:
            raise EOFError
        return json.dumps(self.lines.pop(0)).encode()


def test_what_the_guest_says_is_told_until_it_has_found_something(capsys):
    guest = Guest({"log": "round 1"}, {"found": {"filled": {}}})
    assert main._measured(guest, "/place", ["5", "3000"]) == {"filled": {}}
    assert guest.started == (
        ["python3", "-m", "benchmarks.zfs.guest", "5", "3000"], {"PYTHONPATH": "/place"}, "/"
    )  # fmt: skip
    assert "round 1" in capsys.readouterr().err


def test_a_guest_that_ends_is_told_with_its_last_words():
    with pytest.raises(BenchError, match="OSError: no pool"):
        main._measured(Guest({"log": "round 1"}), "/place", [])
