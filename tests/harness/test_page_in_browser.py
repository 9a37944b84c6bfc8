"""The page of several runs as its readers have it: by keyboard, by phone, on paper."""

import pytest

from harness import publish
from harness.results import SubjectInfo

from .browser import PROGRAM, Browser
from .outcomes import case, results

HOSTILE = "</script><script>document.title='hit'</script><img src=x onerror=document.title='hit'>"
EVIDENCE = "evidence/WHT-002/failure.txt"
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="there is no Chromium (apt-get install chromium)"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Two runs, of which one has failures, and everything that it says is hostile."""
    folder = tmp_path_factory.mktemp("run")
    (folder / EVIDENCE).parent.mkdir(parents=True)
    (folder / EVIDENCE).write_text("seen on the host")
    good = results(
        *(case(f"WHT-{number:03}") for number in range(1, 30)),
        case("TAR-001", area="tar", profile="hostile", level="SHOULD"),
    )
    bad = results(
        case("WHT-001", message=""),
        case("WHT-002", "failed", message=HOSTILE, evidence=(EVIDENCE,), requirement=HOSTILE),
        case("TAR-001", "leaked", area="tar", profile="hostile", level="SHOULD", message=HOSTILE),
        subject=SubjectInfo(name=HOSTILE, version=HOSTILE, capabilities=()),
    )
    return publish.publish([(good, folder), (bad, folder)], folder / "site").page


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium, page):
    chromium.resize(1400)
    chromium.open("/dev/null")  # a change of the fragment alone loads nothing
    chromium.open(page)
    return chromium


SHOWN = "[...document.querySelectorAll('.case:not([hidden]) .id')].map(one => one.textContent)"
FOCUS = "document.activeElement.textContent.replace(/\\s+/g, ' ').trim()"


def choose(browser, name, value):
    browser.ask(
        f"(() => {{ const one = document.forms.filter.elements['{name}']; one.value = '{value}';"
        "one.dispatchEvent(new Event('input', {bubbles: true})) })()"
    )


def counts(browser, area):
    return browser.ask(
        f"[...document.querySelectorAll('.matrix .cell[data-area=\"{area}\"]')]"
        ".map(cell => cell.innerText.replace(/\\s+/g, ' ').trim())"
    )


def test_nothing_is_fetched_and_nothing_foreign_runs(browser, page):
    assert browser.fetched() == [f"file://{page}"]
    assert browser.ask("document.title") != "hit"
    assert browser.ask("document.images.length + document.scripts.length") == 1
    assert browser.complaints() == []


@pytest.mark.parametrize(
    ("name", "value", "ids"),
    [
        ("verdict", "bad", ["TAR-001", "WHT-002"]),
        ("verdict", "leaked", ["TAR-001"]),
        ("level", "SHOULD", ["TAR-001"]),
        ("profile", "hostile", ["TAR-001"]),
        ("run", "1", ["TAR-001", "WHT-001", "WHT-002"]),
        ("text", "onerror wht", ["WHT-002"]),
    ],
)
def test_a_filter_shows_what_it_says(browser, name, value, ids):
    assert len(browser.ask(SHOWN)) == 30
    choose(browser, name, value)
    assert browser.ask(SHOWN) == ids
    assert browser.ask("document.forms.filter.elements.shown.value") == f"{len(ids)} of 30"


def test_the_matrix_counts_what_is_filtered(browser):
    assert counts(browser, 2) == ["✓ passed 29", "✓ passed 1 ✗ failed 1"]
    choose(browser, "verdict", "bad")
    assert counts(browser, 2) == ["· no case", "✗ failed 1"]
    choose(browser, "verdict", "leaked")
    assert counts(browser, 1) == ["· no case", "≋ leaked 1"]
    choose(browser, "verdict", "differ")
    assert counts(browser, 1) == ["✓ passed 1", "≋ leaked 1"]


def test_clear_shows_everything_again(browser):
    choose(browser, "verdict", "failed")
    browser.ask("document.forms.filter.elements.clear.click()")
    browser.ask("new Promise(done => setTimeout(done))")
    assert browser.ask("document.forms.filter.elements.shown.value") == "30 cases"


def test_a_link_keeps_the_filter(browser, page):
    choose(browser, "verdict", "failed")
    assert browser.ask("location.hash") == "#show:verdict=failed"
    browser.open("/dev/null")
    browser.open(page, "#show:verdict=failed&nonsense=1")
    assert browser.ask(SHOWN) == ["WHT-002"]


def test_by_keyboard_one_comes_from_a_cell_to_its_evidence(browser):
    browser.press("Tab")
    assert browser.ask(FOCUS) == "To the cases"
    browser.ask("document.querySelector('.matrix tbody .cell').focus()")
    browser.press("ArrowDown", "ArrowRight")
    assert "failed 1" in browser.ask(FOCUS)
    browser.press("Enter")
    assert browser.ask(SHOWN) == ["WHT-001", "WHT-002"]
    assert browser.ask("document.activeElement.id") == "area-2"
    browser.press("Tab", "Tab", "Enter")
    assert browser.ask("document.activeElement.parentElement.id") == "case-WHT-002"
    assert browser.ask("document.activeElement.parentElement.open")
    browser.press("Tab", "Tab", "Tab")  # the source and the message come before
    assert browser.ask(FOCUS) == "failure.txt"
    browser.press("Enter")
    browser.wait_for_load()
    assert browser.ask("location.pathname").endswith(EVIDENCE)
    assert browser.ask("document.body.innerText").strip() == "seen on the host"


def test_the_arrows_stay_within_the_matrix(browser):
    browser.ask("document.querySelector('.matrix tbody .cell').focus()")
    browser.press("ArrowUp", "ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowDown")
    assert browser.ask("document.activeElement.matches('tfoot .cell[data-run=\"1\"]')")


def test_a_phone_shows_it_without_scrolling_sideways(browser):
    browser.resize(390, 844)
    assert browser.ask("document.documentElement.scrollWidth") <= 390
    browser.ask("document.forms.filter.elements.open.click()")
    assert browser.ask("document.documentElement.scrollWidth") <= 390


def test_on_paper_is_what_needs_reading(browser):
    browser.ask("window.dispatchEvent(new Event('beforeprint'))")
    browser.call("Emulation.setEmulatedMedia", media="print")
    cases = "[...document.querySelectorAll('.case')]"
    assert browser.ask(f"{cases}.filter(one => one.offsetParent).map(one => one.id)") == [
        "case-TAR-001", "case-WHT-002",
    ]  # fmt: skip
    assert browser.ask(f"{cases}.filter(one => one.offsetParent).every(one => one.open)")
    browser.ask("window.dispatchEvent(new Event('afterprint'))")
    browser.call("Emulation.setEmulatedMedia", media="")
    assert not browser.ask(f"{cases}.some(one => one.open)")
    assert browser.printed().startswith(b"%PDF")
