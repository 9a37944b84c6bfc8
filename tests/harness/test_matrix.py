from harness import matrix

from .outcomes import case, results


def test_a_row_has_what_each_run_says_in_their_order():
    one, other = results(case(), case("WHT-002")), results(case(verdict="failed"))
    [area] = matrix.areas([one, other])
    assert [(row.id, row.verdicts) for row in area.rows] == [
        ("WHT-001", "passed failed"),
        ("WHT-002", "passed -"),
    ]
    assert [row.bad for row in area.rows] == [True, False]
    assert [row.quiet for row in area.rows] == [False, True]


def test_areas_are_counted_for_each_run():
    one = results(case(), case("WHT-002", "unsupported"), case("TAR-001", area="tar"))
    tar, whiteouts = matrix.areas([one, results(case("WHT-002"))])
    assert (tar.name, whiteouts.name) == ("tar", "whiteouts")
    assert whiteouts.counts() == [{"passed": 1, "unsupported": 1}, {"passed": 1}]
    assert tar.counts() == [{"passed": 1}, {}]


def test_what_was_not_asked_takes_no_time():
    run = results(
        case(duration_s=1.0), case("WHT-002", duration_s=3.0), case("WHT-003", duration_s=2.0),
        case("WHT-004", "unsupported", duration_s=9.0),
    )  # fmt: skip
    [area] = matrix.areas([run, results(case("WHT-005", "unsupported"))])
    assert area.times() == [matrix.Times(total=6.0, median=2.0, most=3.0), None]


def test_the_text_of_a_row_has_what_the_runs_say():
    [area] = matrix.areas([results(case()), results(case(verdict="failed", message="It SANK\nx"))])
    assert "it sank" in area.rows[0].text
