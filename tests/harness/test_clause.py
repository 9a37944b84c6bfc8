import pytest

from harness.clause import Clause


def clause(**changes):
    fields = {"id": "WHT-004", "level": "MUST", "source": "image-spec layer.md"} | changes
    return Clause(**fields)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"id": "wht-4"}, "is not like WHT-004"),
        ({"id": "WHT-004[x]"}, "is not like WHT-004"),
        ({"level": "must"}, "none of MUST, SHOULD, MAY"),
        ({"source": "  "}, "cites its source"),
        ({"profile": "cores"}, "profile 'cores' is none of"),
        ({"needs": ("comit", "merge")}, "unknown capabilities comit"),
    ],
)
def test_what_no_run_could_honour_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        clause(**changes)


@pytest.mark.parametrize(
    ("changes", "wants"),
    [
        ({}, False),
        ({"profile": "overlay"}, False),
        ({"profile": "zfs"}, True),
        ({"profile": "overlay-on-zfs"}, True),
        ({"needs": ("zfs",)}, True),
        ({"needs": ("zstd",)}, False),
        ({"target_needs": ("overlay", "zfs_upperdir")}, True),
    ],
)
def test_a_clause_says_whether_its_cases_have_a_use_for_a_pool(changes, wants):
    assert clause(**changes).wants_pool is wants


def test_the_requirement_is_the_first_paragraph_of_the_docstring():
    docstring = """An opaque marker hides
    what lies below.

    And this is about how the case does it.
    """
    assert clause().described_by(docstring).requirement == (
        "An opaque marker hides what lies below."
    )


def test_a_requirement_of_its_own_wins():
    assert clause(requirement="Said.").described_by("Other.").requirement == "Said."


def test_a_case_that_states_no_requirement_is_refused():
    with pytest.raises(ValueError, match="WHT-004: the case has no docstring"):
        clause().described_by(None)
