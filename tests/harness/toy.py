"""A suite and a subject small enough to know what must come of them.

The subject keeps nothing but its store's directory; its ``list`` does as the environment variable
TOY, or the name of the store, says.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from harness import runner
from harness.results import Results, load

ROOT = Path(__file__).resolve().parents[2]

SUBJECT = r"""
import json, os, signal, sys, time

verb = sys.argv[2]
request = json.loads(sys.stdin.read())
store = request.get("store", "")
if verb == "info":
    if os.environ.get("TOY") == "dumb":
        sys.exit("I do not talk")
    protocol = 2 if os.environ.get("TOY") == "newer" else 1
    print(json.dumps({"name": "toy", "version": "7.1", "protocol": protocol}))
elif verb == "open":
    os.makedirs(store, exist_ok=True)
    print(json.dumps({"store": store}))
elif verb == "list":
    if store.endswith("crash"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if store.endswith("hang"):
        time.sleep(60)
    if store.endswith("leave"):
        os.mkdir(os.environ["TMPDIR"] + "/left")
    print(json.dumps({"layers": []}))
elif verb == "close":
    print("{}")
"""

TOML = """
protocol = 1
name = "toy"
profiles = ["core", "hostile"]
capabilities = ["gc"]
timeouts.call = 5
command.argv = ["{python}", "{dir}/toy.py"]
"""

HEAD = """
import os
import pytest
from harness.clause import Clause
from harness.tree import Node, Tree


def clause(id, level="MUST", **more):
    return pytest.mark.clause(Clause(id, level, "PROTOCOL.md", **more))


@pytest.fixture
def store(raw_subject, host):
    path = host.tmp("case")
    raw_subject.call("open", store=path)
    yield path
    raw_subject.call("close", store=path)
    host.remove(path)

"""

PASSES = '''
@clause("TOY-001")
def test_lists_nothing(store, raw_subject):
    """An empty store
    has no layers.

    More about it.
    """
    assert raw_subject.call("list", store=store).layers == ()
'''


@dataclass(frozen=True)
class Toy:
    """The folders of the suite, the subject, and what a run writes."""

    suite: Path
    subject: Path
    output: Path

    def results(self) -> Results:
        return load(self.output)

    def case(self, id_):
        return next(case for case in self.results().cases if case.id == id_)

    def evidence(self, id_, name):
        found = [path for path in self.case(id_).evidence if path.endswith(f"/{name}")]
        return (self.output / found[0]).read_text()


def make(folder, *cases, toml=TOML):
    """Write the suite, whose one module is of the area "toys", and the subject."""
    toy = Toy(folder / "toy_suite", folder / "subject", folder / "output")
    toy.suite.mkdir(parents=True)
    toy.subject.mkdir()
    (toy.suite / "__init__.py").touch()
    (toy.suite / "test_toys.py").write_text(HEAD + "".join(cases))
    (toy.subject / "toy.py").write_text(SUBJECT)
    (toy.subject / "subject.toml").write_text(toml)
    return toy


def environment(**more):
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**runner.environment(), "PYTHONPATH": path, **more}


def run(toy, *words, env=None, **fields):
    """Run plain pytest on the suite; return what it said and its status."""
    request = runner.Request(
        subject=str(toy.subject), output=toy.output, folder=toy.suite, **fields
    )
    return subprocess.run(
        [sys.executable, "-m", "pytest", *runner.run_arguments(request), *words],
        env=environment(**(env or {})),
        cwd=toy.suite.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
