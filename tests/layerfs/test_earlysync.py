"""Syncs begun early: as often as said, never after the end, no harm where impossible."""

import os
import threading

import pytest

from layerfs import syscalls
from layerfs.earlysync import EVERY, EarlySync


@pytest.fixture
def syncs(monkeypatch):
    """What was synced, and an event that is set each time."""
    done, happened = [], threading.Event()

    def sync(fd):
        done.append(fd)
        happened.set()

    monkeypatch.setattr(syscalls, "syncfs", sync)
    return done, happened


def test_a_sync_is_begun_each_time_that_enough_has_been_written(syncs):
    done, happened = syncs
    early = EarlySync(7)
    early.reached(EVERY - 1)
    for times in (1, 2):
        happened.clear()
        early.reached(times * EVERY)
        assert happened.wait(20)
        assert done == [7] * times
    early.reached(2 * EVERY + 1)
    early.close()
    assert done == [7, 7]


@pytest.mark.usefixtures("syncs")
def test_nothing_goes_on_after_the_end():
    before = threading.enumerate()
    early = EarlySync(7)
    early.reached(EVERY)
    early.close()
    assert threading.enumerate() == before


def test_it_syncs_the_real_thing(tmp_path):
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        early = EarlySync(fd)
        early.reached(EVERY)
        early.close()
    finally:
        os.close(fd)


def test_an_error_is_left_to_the_sync_that_counts(monkeypatch):
    def fail(_fd):
        raise OSError(5, "input/output error")

    monkeypatch.setattr(syscalls, "syncfs", fail)
    early = EarlySync(7)
    early.reached(EVERY)
    early.close()


def test_where_no_thread_can_be_started_nothing_is_synced_early(monkeypatch, syncs):
    def refuse(_self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    early = EarlySync(7)
    early.reached(EVERY)
    early.close()
    assert syncs[0] == []
