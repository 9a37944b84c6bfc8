import contextlib

import pytest

from benchmarks import measure
from benchmarks.measure import Way, best, race, seconds
from benchmarks.packages import BenchError


class Folder:
    """A ground that counts how often it was asked for a fresh directory."""

    def __init__(self, path):
        self.path = path
        self.count = 0

    @contextlib.contextmanager
    def fresh(self):
        self.count += 1
        yield self.path


def test_ways_run_in_turns_each_on_fresh_ground(tmp_path):
    order = []
    ground = Folder(tmp_path)

    def way(name, took):
        def run(folder):
            order.append((name, folder))
            return took.pop()

        return Way(name, run)

    said = []
    samples = race([way("a", [1.0, 3.0]), way("b", [2.0, 2.5])], 2, ground, said.append)
    assert [name for name, _ in order] == ["a", "b", "a", "b"]
    assert ground.count == 4
    assert samples == {"a": [3.0, 1.0], "b": [2.5, 2.0]}
    assert best(samples, "a") == 1.0
    assert said == ["  a: 3.000 1.000", "  b: 2.500 2.000"]


def test_a_way_that_only_informs_runs_in_the_first_rounds(tmp_path):
    ways = [Way("a", lambda _folder: 1.0), Way("b", lambda _folder: 2.0, most=1)]
    samples = race(ways, 3, Folder(tmp_path), lambda _text: None)
    assert samples == {"a": [1.0, 1.0, 1.0], "b": [2.0]}


def test_a_pipeline_passes_its_bytes_on(tmp_path):
    took = seconds(["echo", "hello"], ["tr", "a-z", "A-Z"], stdout=tmp_path / "out")
    assert (tmp_path / "out").read_text() == "HELLO\n"
    assert took > 0


@pytest.mark.parametrize("place", [0, 1])
def test_any_failed_command_of_a_pipeline_is_an_error_with_its_words(place):
    commands = [["cat", "/dev/null"], ["cat"]]
    commands[place] = ["sh", "-c", "echo broken >&2; exit 7"]
    with pytest.raises(BenchError, match=r"sh -c echo broken >&2; exit 7 … ended with 7:\nbroken"):
        seconds(*commands)


def test_an_answer_is_the_json_of_a_job(monkeypatch):
    monkeypatch.setattr(measure, "run", lambda _command, cwd: '{"a": [1]}' if cwd else "")
    assert measure.answer(["job"]) == {"a": [1]}


def test_an_interrupted_measurement_leaves_no_process(monkeypatch):
    started = []
    start = measure.subprocess.Popen

    def popen(*words, **options):
        started.append(start(*words, **options))
        return started[-1]

    def interrupted(_process):
        raise KeyboardInterrupt

    monkeypatch.setattr(measure.subprocess, "Popen", popen)
    monkeypatch.setattr(measure, "_stderr", interrupted)
    with pytest.raises(KeyboardInterrupt):
        seconds(["sleep", "1000"], ["sleep", "1000"])
    assert [one.returncode for one in started] == [-9, -9]
    for one in started:
        one.stderr.close()
