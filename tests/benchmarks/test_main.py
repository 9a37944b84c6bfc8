import json
from contextlib import contextmanager

import pytest

from benchmarks import __main__ as main
from benchmarks import program
from benchmarks.bars import Row
from benchmarks.context import Task
from benchmarks.filesystem import Ground
from benchmarks.packages import BenchError


def test_every_task_has_a_name_of_its_own():
    names = [task.name for task in main._tasks()]
    assert len(names) == len(set(names))
    assert "layer/small.tar.gz" in names


def test_only_chooses_by_a_part_of_the_name(capsys):
    assert main.main(["--list", "--only", "small", "--only", "memory"]) == 0
    assert capsys.readouterr().err.split() == ["layer/small.tar.gz", "layer/small.tar", "memory"]


def test_a_name_that_no_task_has_is_an_error(capsys):
    assert main.main(["--only", "nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.parametrize("rounds", ["0", "-1", "many"])
def test_rounds_that_are_none_are_refused(rounds, capsys):
    with pytest.raises(SystemExit, match="2"):
        main.main([f"--rounds={rounds}"])
    assert "rounds must be 1 or more" in capsys.readouterr().err


def test_without_root_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(main.os, "geteuid", lambda: 1000)
    assert main.main(["--only", "memory"]) == 2
    assert "run it as root" in capsys.readouterr().err


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """A function that runs tasks on a directory, and returns the exit status."""

    @contextmanager
    def mounted(_place, _log):
        yield Ground(tmp_path, direct=True)

    monkeypatch.setattr(main, "mounted", mounted)
    monkeypatch.setattr(program.signal, "signal", lambda _number, _handler: None)
    given = main._parser().parse_args(["--output", str(tmp_path)])

    def run(*functions):
        tasks = [Task(function.__name__, lambda _log: None, function) for function in functions]
        return main._measure(tasks, given)

    return run


def test_a_task_that_fails_is_named_and_the_others_are_measured(measured, tmp_path, capsys):
    def broken(_context):
        raise BenchError("tar ended with 2")

    def whole(_context):
        return [Row("apply", 1.0, "tar", 2.0, 1.0)]

    assert measured(broken, whole) == 2
    assert [row["name"] for row in json.loads((tmp_path / "bench.json").read_text())] == ["apply"]
    assert json.loads((tmp_path / "bench-details.json").read_text())["failed"] == ["broken"]
    assert "broken could not be measured: tar ended with 2" in capsys.readouterr().err


@pytest.mark.parametrize(("ours", "status"), [(1.0, 0), (3.0, 1)])
def test_the_status_says_whether_all_bars_hold_and_the_results_are_written(
    ours, status, measured, tmp_path, capsys
):
    def run(context):
        context.skip("a peer", "it is missing")
        return [Row("apply", ours, "tar", 2.0, 1.0)]

    assert measured(run) == status
    (row,) = json.loads((tmp_path / "bench.json").read_text())
    assert row["met"] is (status == 0)
    details = json.loads((tmp_path / "bench-details.json").read_text())
    assert details["skipped"] == ["a peer: it is missing"]
    assert (tmp_path / "bench.svg").read_text().startswith("<svg")
    shown = capsys.readouterr()
    assert ("not met" in shown.out) is (status == 1)
    assert "skipped: a peer: it is missing" in shown.err
