from xml.etree import ElementTree as ET

import pytest

from harness import badge
from harness.results import Selection, SubjectInfo

from .outcomes import case, results


def words(run):
    root = ET.fromstring(badge.render(run))
    assert {element.tag.rpartition("}")[2] for element in root.iter()} == {
        "svg", "title", "rect", "path", "g", "text",
    }  # fmt: skip
    left, right = (element.text for element in root.iter("{http://www.w3.org/2000/svg}text"))
    assert root.attrib["aria-label"] == f"{left}: {right}"
    return left, right


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (results(case()), "✓ conformant: core"),
        (results(case(), case("A-1", "failed")), "✗ not conformant: 1 of 2 cases"),
        (results(), "✗ not conformant: 0 of 0 cases"),
    ],
)
def test_a_badge_says_what_came_of_it(run, said):
    assert words(run) == ("some 1", said)


def test_selected_cases_are_not_conformance():
    selection = Selection(profiles=("core",), cases=("A",))
    run = results(case()).model_copy(update={"selection": selection})
    assert words(run)[1] == "✓ 1 case passed"


def test_the_name_of_a_subject_is_text_and_never_markup():
    name = '"/><script>alert(1)</script>\n\x1b'
    run = results(case()).model_copy(
        update={"subject": SubjectInfo(name=name, version="&amp;", capabilities=())}
    )
    assert words(run)[0] == '"/><script>alert(1)</script> \\x1b &amp;'
