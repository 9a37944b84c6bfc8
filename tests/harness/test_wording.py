import pytest

from harness.verdict import VERDICTS
from harness.wording import COLOURS, ORDER, SYMBOLS, first_line, source_url, visible


def test_every_verdict_has_a_symbol_a_colour_and_a_place():
    assert set(ORDER) == set(SYMBOLS) == set(COLOURS) == set(VERDICTS)
    assert len(set(SYMBOLS.values())) == len(VERDICTS)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\nand\ttabbed", "plain\nand\ttabbed"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("carriage\rreturn", r"carriage\rreturn"),
        ("right to left \u202e", r"right to left \u202e"),
        ("not UTF-8 \udcff", r"not UTF-8 \udcff"),
        ("grüße ✓", "grüße ✓"),
    ],
)
def test_what_could_steer_a_terminal_is_made_visible(text, shown):
    assert visible(text) == shown


def test_a_long_first_line_is_cut():
    assert first_line("a" * 300 + "\nsecond", 10) == "a" * 9 + "…"


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ("image-spec layer.md, whiteouts",
         "https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md"),
        ("openat2(2), RESOLVE_IN_ROOT", "https://man7.org/linux/man-pages/man2/openat2.2.html"),
        ("kernel overlayfs page", "https://docs.kernel.org/filesystems/overlayfs.html"),
        ("RFC 1952, section 2.2", "https://www.rfc-editor.org/rfc/rfc1952"),
        ("PROTOCOL.md, section 4", None),
    ],
)  # fmt: skip
def test_sources_that_are_known_have_an_address(source, url):
    assert source_url(source) == url
