import io

from rich.console import Console

from harness import show
from harness.finding import Finding
from harness.mutants import Fate, Toll

from .outcomes import case, results


def said(action):
    stream = io.StringIO()
    action(Console(file=stream, width=120, highlight=False))
    return stream.getvalue()


def test_each_area_has_its_line_and_only_verdicts_that_occur_a_column():
    run = results(case(), case("STK-001", "failed", area="stacking", message="no"))
    text = said(lambda out: show.results(out, run))
    assert "✓ passed" in text
    assert "✗ failed" in text
    assert "leaked" not in text
    assert "stacking" in text


def test_cases_that_were_not_asked_are_told_together_by_reason():
    lacking = [
        case(f"WHT-00{n}", "unsupported", message="target: local has no devices") for n in (1, 2)
    ]
    text = said(lambda out: show.results(out, results(*lacking)))
    assert "2 cases, target: local has no devices: WHT-001, WHT-002" in text


def test_what_a_subject_says_cannot_steer_the_terminal():
    run = results(case(verdict="failed", message="\x1b]0;title\x07 [red]markup[/red]"))
    text = said(lambda out: show.results(out, run))
    assert r"\x1b]0;title\x07 [red]markup[/red]" in text


def test_progress_without_a_terminal_is_a_symbol_for_each_case():
    def run(out):
        with show.Live(out) as live:
            live.expect(62)
            for n in range(61):
                live.done(case(f"WHT-0{n:02}"))
            live.done(case("WHT-061", "leaked"))

    assert said(run).splitlines() == ["." * 60 + "  60 of 62", ".≋"]


def test_findings_come_with_their_remedies():
    found = [Finding("kernel", "ok", "6.1"), Finding("umoci", "lacking", "missing", "apt-get …")]
    text = said(lambda out: show.findings(out, found))
    assert text.splitlines() == [
        "✓ kernel           6.1",
        "○ umoci            missing",
        "                   mend: apt-get …",
    ]


def test_mutants_are_told_with_who_killed_them_and_how():
    dead = Fate("a", "", ("WHT-001",), cases=(case("WHT-001", "failed", failure="BadAnswer"),))
    alive = Fate("b", "", ("WHT-002",), why="WHT-002 passed")
    text = said(lambda out: [show.fate(out, dead), show.fate(out, alive)])
    assert text.splitlines() == [
        "✓ killed    a by WHT-001 (BadAnswer)",
        "✗ survived  b (WHT-002) WHT-002 passed",
    ]
    end = said(lambda out: show.toll(out, Toll([dead, alive], ["WHT-003"])))
    assert "MUST clauses without a mutant that they kill: WHT-003" in end
    assert "1 killed, 1 survived" in end
