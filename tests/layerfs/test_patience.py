"""A wait for a pipe that another thread calls off; files and objects that never make one wait."""

import io
import os
import threading

import pytest

from layerfs.compression import BlobReader
from layerfs.patience import Patience


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_a_wait_ends_when_there_is_something_to_read(pipe):
    reader, writer = pipe
    os.write(writer, b"x")
    patience = Patience(reader)
    assert patience.wait()
    patience.resume()


def test_a_wait_ends_when_it_is_called_off(pipe):
    patience = Patience(pipe[0])
    answers = []
    thread = threading.Thread(target=lambda: answers.append(patience.wait()))
    thread.start()
    patience.call_off()
    thread.join()
    patience.resume()
    assert answers == [False]


def test_files_and_objects_are_never_waited_for(tmp_path):
    with (tmp_path / "f").open("wb") as file:
        assert Patience(file).wait()
    assert Patience(io.BytesIO()).wait()


def test_closing_a_reader_does_not_wait_for_a_silent_pipe(pipe):
    reader, writer = pipe
    os.write(writer, b"x" * 600)
    with BlobReader(reader, "none") as blob:
        assert blob.read(600) == b"x" * 600
    assert "layerfs-decompress" not in [thread.name for thread in threading.enumerate()]
