import base64
import hashlib
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
    assert "ZFS" not in report.facts(run)
    target = run.target.model_copy(update={"zfs_version": "2.3.9", "zfs_vdev": vdev})
    assert report.facts(run.model_copy(update={"target": target}))["ZFS"] == said


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
    inside = [link[1:] for link in shown.links if link.startswith("#case-")]
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


def test_only_the_script_of_the_page_itself_may_run(tmp_path):
    text = report.render([(results(case()), tmp_path)], tmp_path)
    script = text.split("<script>", 1)[1].split("</script>", 1)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert not re.search(r"<[^>]* on\w+=", text)


@pytest.mark.parametrize("link", ["javascript:alert(1)", "https://x\" onclick='a(1)'", "data:,"])
def test_a_link_that_is_no_address_of_the_web_is_text(tmp_path, link):
    shown = page(tmp_path, results(case(verdict="expected_failure", reason="so", link=link)))
    assert all(one.startswith(("#", "https://github.com/opencontainers/")) for one in shown.links)
    assert f"({link})" in shown.text


def test_a_known_failure_has_its_reason_its_link_and_its_command(tmp_path):
    known = {"reason": "it sinks", "link": "https://x.org/1", "shown_by": "float --stone"}
    shown = page(tmp_path, results(case(verdict="expected_failure", **known)))
    assert "Known: it sinks" in shown.text
    assert "float --stone" in shown.text
    assert "https://x.org/1" in shown.links


def test_every_cell_of_several_runs_leads_to_its_cases(tmp_path):
    other = results(failing(), case("TAR-001", area="tar"))
    shown = page(tmp_path, results(case()), other)
    areas = [link[1:] for link in shown.links if link.startswith("#area-")]
    assert sorted(areas) == ["area-1"] * 3 + ["area-2"] * 3
    assert set(areas) <= set(shown.ids)


def test_runs_of_different_suites_are_said_to_be(tmp_path):
    run = results(case())
    assert "different suites" not in page(tmp_path, run, run).text
    assert "2 different suites" in page(
        tmp_path, run, run.model_copy(update={"suite_digest": "sha256:" + "1" * 64})
    ).text  # fmt: skip


def test_the_host_and_the_times_are_told(tmp_path):
    run = results(case(duration_s=1.5), case("WHT-002", duration_s=2.5))
    target = run.target.model_copy(update={"distribution": "Some Linux 1", "machine": "s390x"})
    run = run.model_copy(update={"target": target})
    text = " ".join(page(tmp_path, run, results(failing())).text.split())
    assert "local, Some Linux 1, 6.1, s390x" in text
    assert "whiteouts4.0 s2.0 s100 ms100 ms" in text
