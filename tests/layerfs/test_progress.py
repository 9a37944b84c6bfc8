import io

import pytest

from layerfs import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Seconds; set it to let time pass."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def at(shown, clock, seconds, done, total=None):
    clock[0] = 100.0 + seconds
    shown(done, total)


def test_nothing_is_shown_where_there_is_no_terminal():
    assert progress.on(io.StringIO()) is None
    assert progress.on(None) is None
    assert progress.on(Terminal()) is not None


def test_work_that_ends_soon_shows_nothing(clock):
    terminal = Terminal()
    shown = progress.Progress(terminal)
    for tenths in range(5):
        at(shown, clock, tenths / 10, tenths)
    shown.clear()
    assert terminal.getvalue() == ""


def test_bytes_total_share_and_rate_are_shown(clock):
    terminal = Terminal()
    shown = progress.Progress(terminal)
    at(shown, clock, 0, 0, 10 << 20)
    at(shown, clock, 2, 4 << 20, 10 << 20)
    assert terminal.getvalue() == "\r4.00 MiB of 10.0 MiB, 40%, 2.00 MiB/s"


def test_an_unknown_total_shows_no_share(clock):
    terminal = Terminal()
    shown = progress.Progress(terminal)
    at(shown, clock, 0, 0)
    at(shown, clock, 1, 1 << 20)
    assert terminal.getvalue() == "\r1.00 MiB, 1.00 MiB/s"


def test_lines_come_ten_times_a_second_at_most(clock):
    terminal = Terminal()
    shown = progress.Progress(terminal)
    for step in range(1000):
        at(shown, clock, step / 1000, step)
    assert terminal.getvalue().count("\r") in range(4, 7)


def test_the_next_blob_has_a_rate_of_its_own(clock):
    terminal = Terminal()
    shown = progress.Progress(terminal)
    at(shown, clock, 0, 0)
    at(shown, clock, 10, 100 << 20)
    at(shown, clock, 10.1, 0)
    at(shown, clock, 12.1, 2 << 20)
    assert terminal.getvalue().rstrip().endswith("\r2.00 MiB, 1.00 MiB/s")


def test_the_line_is_cleared_once(clock):
    terminal = Terminal()
    shown = progress.Progress(terminal)
    at(shown, clock, 0, 0)
    at(shown, clock, 1, 512)
    before = terminal.getvalue()
    shown.clear()
    shown.clear()
    line = before.removeprefix("\r")
    assert terminal.getvalue() == before + "\r" + " " * len(line) + "\r"


def test_a_terminal_that_has_gone_ends_the_showing_and_not_the_work(clock):
    class Gone(Terminal):
        def write(self, _text):
            raise OSError(5, "Input/output error")

    shown = progress.Progress(Gone())
    for second in range(5):
        at(shown, clock, second, second)
    shown.clear()
