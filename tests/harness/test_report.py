import re
from html.parser import HTMLParser

import pytest

from harness import report

from .outcomes import case, results

HOSTILE = "<script>alert(1)</script> & \x1b[31m \"quoted\" 'single' \udcff"


class Page(HTMLParser):
    """What a browser would do with the page: its text, its scripts, and what it would fetch."""

    def __init__(self, text):
        super().__init__()
        self.text, self.scripts, self.fetched, self.links, self.ids = "", 0, [], [], []
        self._open = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.scripts += tag == "script"
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.fetched += [value for name, value in attrs if name in {"src", "srcset", "action"}]
        if tag == "a":
            self.links.append(attributes["href"])
        elif "href" in attributes:
            self.fetched.append(attributes["href"])
        if tag not in {"meta", "input", "br"}:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self._open):
            self.text += data


def page(tmp_path, *runs):
    folders = [tmp_path / f"run {number}" for number in range(len(runs))]
    text = report.render(list(zip(runs, folders, strict=True)), tmp_path)
    found = Page(text)
    assert found._open == []
    return found


def failing(**changes):
    evidence = ("evidence/WHT-001/failure.txt",)
    return case(verdict="failed", message=HOSTILE, evidence=evidence, **changes)


@pytest.mark.parametrize(
    ("vdev", "said"),
    [
        ("", "2.3.9"),
        ("disk", "2.3.9, a pool on a disk"),
        ("file", "2.3.9, a pool on a sparse file"),
    ],
)
def test_the_version_of_zfs_is_told_where_there_is_one(vdev, said):
    run = results(case())
    assert "ZFS" not in report._facts(run)
    target = run.target.model_copy(update={"zfs_version": "2.3.9", "zfs_vdev": vdev})
    assert report._facts(run.model_copy(update={"target": target}))["ZFS"] == said


def test_what_a_subject_says_is_text_and_never_markup(tmp_path):
    shown = page(tmp_path, results(failing(), case("WHT-002", requirement=HOSTILE)))
    assert shown.scripts == 1
    assert shown.text.count("<script>alert(1)</script>") >= 2
    assert "\x1b" not in shown.text
    assert "\\x1b[31m" in shown.text


def test_the_page_fetches_nothing(tmp_path):
    text = report.render([(results(case()), tmp_path)], tmp_path)
    assert Page(text).fetched == []
    assert "default-src 'none'" in text
    assert not re.search(r"@import|url\(", text)


def test_a_verdict_is_told_by_symbol_and_word(tmp_path):
    shown = page(tmp_path, results(failing(), case("WHT-002", "unexpected_pass")))
    words = " ".join(shown.text.split())
    assert "✗ failed" in words
    assert "! unexpected pass" in words


def test_what_needs_attention_leads_to_its_case(tmp_path):
    shown = page(tmp_path, results(failing(), case("WHT-002")))
    inside = [link[1:] for link in shown.links if link.startswith("#case")]
    assert inside == ["case-WHT-001"]
    assert set(inside) <= set(shown.ids)


def test_evidence_is_linked_from_where_the_page_lies(tmp_path):
    shown = page(tmp_path, results(failing()))
    assert "run%200/evidence/WHT-001/failure.txt" in shown.links


def test_a_case_shows_how_to_run_it_alone(tmp_path):
    assert "layerfs-conformance run --case WHT-001" in page(tmp_path, results(case())).text


def test_sources_that_are_known_are_links(tmp_path):
    links = page(tmp_path, results(case())).links
    assert any(link.endswith("/layer.md") for link in links)


def test_a_good_run_says_so(tmp_path):
    text = " ".join(page(tmp_path, results(case())).text.split())
    assert "some 1 is conformant" in text
    assert "Needs attention" not in text


def test_several_runs_stand_side_by_side(tmp_path):
    other = results(failing(), case("WHT-003"))
    text = " ".join(page(tmp_path, results(case(), case("WHT-002")), other).text.split())
    assert "2 runs side by side" in text
    assert "not run" in text
    assert all(id_ in text for id_ in ("WHT-001", "WHT-002", "WHT-003"))


def test_equal_runs_are_still_two(tmp_path):
    run = results(failing())
    links = page(tmp_path, run, run).links
    assert {"run%200/evidence/WHT-001/failure.txt", "run%201/evidence/WHT-001/failure.txt"} <= set(
        links
    )


def test_a_run_without_cases_is_a_page_too(tmp_path):
    assert "0 cases" in page(tmp_path, results()).text


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0123, "12 ms"), (1.25, "1.2 s"), (200, "3 min 20 s")]
)
def test_durations_are_for_people(value, shown):
    assert report.seconds(value) == shown
