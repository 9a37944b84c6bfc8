import pytest

from harness import markdown
from harness.comparison import compare
from harness.results import SubjectInfo

from .outcomes import case, results


@pytest.mark.parametrize(
    ("words", "escaped"),
    [
        ("layerfs 0.1.0, 6.1-x", "layerfs 0.1.0, 6.1-x"),
        ("a|b `c` *d* <e> [f](g) @h #1", r"a\|b \`c\` \*d\* \<e\> \[f\](g) \@h \#1"),
        ("www.x http://y", r"www\.x http\://y"),
        ("two\nlines \x1b", r"two lines \\x1b"),
        ("&lt;", r"\&lt\;"),
    ],
)
def test_text_has_no_markup(words, escaped):
    assert markdown.text(words) == escaped


@pytest.mark.parametrize(
    ("words", "span"),
    [("a|b <c>", "`a|b <c>`"), ("a`b", "`` a`b ``"), ("``", "``` `` ```"), ("", "` `")],
)
def test_code_ends_where_it_should(words, span):
    assert markdown.code(words) == span


def test_a_summary_counts_and_names_what_needs_a_word():
    known = {"reason": "it sinks", "link": "https://x.org/1"}
    run = results(
        case(),
        case("WHT-002[a|b]", "failed", message="`x` @all"),
        case("WHT-003", "expected_failure", **known),
    )
    lines = markdown.summary([run]).splitlines()
    assert "| ✗ some 1 is not conformant | local, 6.1 | core | 1 | 1 | 1 |" in lines
    assert "- ✗ failed `WHT-002[a|b]`: `` `x` @all ``" in lines
    assert "- ~ expected failure `WHT-003`: `it sinks` (<https://x.org/1>)" in lines


def test_a_long_list_is_cut_and_says_so():
    run = results(*(case(f"WHT-{number}", "failed") for number in range(markdown.SHOWN + 2)))
    lines = markdown.summary([run]).splitlines()
    assert sum(line.startswith("- ✗") for line in lines) == markdown.SHOWN
    assert "- and 2 cases more" in lines


def test_a_hostile_subject_makes_no_markup():
    name = "# x\n\n<img src=x>|`"
    run = results(case(verdict="failed", message="</code>\n# no", link="javascript:x"))
    run = run.model_copy(update={"subject": SubjectInfo(name=name, version="", capabilities=())})
    text = markdown.summary([run])
    assert "<img" not in text.replace(r"\<img", "")
    assert "(`javascript:x`)" in text
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "## Conformance",
        "### \\# x \\<img src\\=x\\>\\|\\` , local: needs attention",
    ]


def test_a_comparison_is_a_table_for_each_kind():
    found = compare(results(case("A-1[a|b]")), results(case("A-1[a|b]", "failed"), case("A-2")))
    text = markdown.compared(found)
    assert "### worse: 1 case\n" in text
    assert r"| `A-1[a\|b]` | MUST | ✓ passed | ✗ failed |" in text
    assert "| `A-2` | MUST | · | ✓ passed |" in text
    assert text.endswith("0 cases as before.\n")
