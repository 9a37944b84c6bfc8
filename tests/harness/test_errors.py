from __future__ import annotations

import pickle

from harness import errors
from harness.protocol import Error


def classes(kind):
    return {kind}.union(*(classes(sub) for sub in kind.__subclasses__()))


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = {
        line.strip("│├└─ ").split()[0]
        for line in errors.__doc__.partition("::")[2].partition("What the observer")[0].splitlines()
        if line.strip()
    }
    ours = classes(errors.HarnessError) | classes(errors.SubjectFailure)
    assert drawn == {kind.__name__ for kind in ours if kind.__module__ == errors.__name__}


def test_a_failure_of_the_subject_is_never_one_of_the_harness():
    assert not classes(errors.HarnessError) & classes(errors.SubjectFailure)


def test_a_refusal_tells_code_and_reason():
    refused = errors.Refused(Error(code="path-error", message="no such file"), verb="add")
    assert str(refused) == "add: refused with 'path-error': no such file"
    assert (refused.code, refused.verb, refused.status) == ("path-error", "add", 10)


def test_a_harness_error_travels_between_processes():
    # pytest-xdist's workers report to another process.
    late = errors.RemoteTimeoutError("late", stdout=b"x")
    assert str(pickle.loads(pickle.dumps(late))) == "late"
