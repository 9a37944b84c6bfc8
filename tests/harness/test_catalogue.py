import subprocess
import sys
from pathlib import Path

import pytest

from harness import catalogue

from . import toy

COLLECT = """
import sys
from pathlib import Path
from harness import catalogue
try:
    for entry in catalogue.collect(Path(sys.argv[1])).values():
        print(entry.clause.id, entry.area, list(entry.cases), entry.clause.requirement)
except catalogue.CatalogueError as error:
    sys.exit(f"catalogue: {error}")
"""


def collect(folder):
    """Collect in a process of its own: pytest within pytest would share its modules."""
    return subprocess.run(
        [sys.executable, "-c", COLLECT, str(folder)],
        env=toy.environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_clauses_are_read_with_their_cases_and_nothing_is_run(tmp_path):
    more = '''
@clause("TOY-000")
@pytest.mark.parametrize("n", [1, 2])
def test_numbers(store, n):
    """A number is one."""
    raise SystemExit("this was run")
'''
    done = collect(toy.make(tmp_path, toy.PASSES, more).suite)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "TOY-000 toys ['TOY-000[1]', 'TOY-000[2]'] A number is one.",
        "TOY-001 toys ['TOY-001'] An empty store has no layers.",
    ]


def test_a_module_that_cannot_be_imported_is_named(tmp_path):
    done = collect(toy.make(tmp_path, "import nonsense_that_is_not_there\n").suite)
    assert done.returncode == 1
    assert done.stderr.startswith("catalogue: toy_suite/test_toys.py")
    assert "nonsense_that_is_not_there" in done.stderr


def identity(clause_id, case_id, **more):
    clause = catalogue.Clause(clause_id, "MUST", "source", requirement="r", **more)
    return catalogue.Identity(case_id, clause, "area", Path("test_area.py"))


def test_one_id_with_two_meanings_is_refused():
    with pytest.raises(pytest.UsageError, match="WHT-001 is the id of two clauses"):
        catalogue.gather(
            [identity("WHT-001", "WHT-001[a]"), identity("WHT-001", "WHT-001[b]", needs=("gc",))]
        )
