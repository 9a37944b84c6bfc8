from __future__ import annotations

import threading

import pytest

from layerfs.handover import Handover


@pytest.fixture
def producing():
    """Run a function in a thread that must have ended when the test has."""
    threads = []

    def start(work):
        threads.append(threading.Thread(target=work))
        threads[-1].start()
        return threads[-1]

    yield start
    for thread in threads:
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_items_come_in_order_and_then_the_end(producing):
    queue = Handover(2)

    def produce():
        for n in range(100):
            assert queue.put(b"%d" % n)
        queue.end()

    producing(produce)
    assert [queue.take() for _ in range(100)] == [b"%d" % n for n in range(100)]
    assert queue.take() is None
    assert queue.take() is None


def test_an_error_comes_after_what_was_put_before_it_and_again():
    queue = Handover(2)
    queue.put(b"a")
    queue.end(OSError("broken"))
    assert queue.take() == b"a"
    for _ in range(2):
        with pytest.raises(OSError, match="broken"):
            queue.take()


def test_a_waiting_producer_is_released_when_the_consumer_gives_up(producing):
    queue = Handover(1)
    assert queue.put(b"fills it")
    answers = []
    thread = producing(lambda: answers.append(queue.put(b"waits for room")))
    queue.cancel()
    thread.join(timeout=10)
    assert answers == [False]
    assert queue.put(b"more") is False
    assert queue.take() is None


def test_a_waiting_consumer_is_released_by_the_end(producing):
    queue = Handover(1)
    answers = []
    thread = producing(lambda: answers.append(queue.take()))
    queue.end()
    thread.join(timeout=10)
    assert answers == [None]
