import sys
import tarfile

import pytest

from benchmarks import inputs, memory
from benchmarks.packages import BenchError


def layer(folder, name, sizes):
    """A layer of files with these sizes."""
    stem = folder / name
    with tarfile.open(f"{stem}.tar", "w") as tar:
        for number, size in enumerate(sizes):
            path = folder / f"{name}-{number}"
            path.write_bytes(bytes([number + 1]) * size)
            tar.add(path, path.name)
    (folder / f"{name}.tar.gz").write_bytes(b"")
    return inputs.described(stem, ("test",))


def test_the_layer_is_whole_and_as_large_as_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "SIZE", 100_000)
    many, big = layer(tmp_path, "many", [0, 1, 700]), layer(tmp_path, "big", [20_000, 513])
    diff_id = memory.write(tmp_path / "out.tar", many, big)
    assert diff_id == inputs.digest_of(tmp_path / "out.tar")
    assert (tmp_path / "out.tar").stat().st_size >= 100_000
    with tarfile.open(tmp_path / "out.tar") as tar:
        found = {member.name: member.size for member in tar}
    assert found["many-2"] == 700
    assert found["1/big-0"] == found["2/big-0"] == 20_000
    assert found["1/big-1"] == 513


def test_memory_of_children_counts(tmp_path, monkeypatch):
    script, seen = tmp_path / "grow.py", tmp_path / "seen"
    # The child holds its memory until it has been seen; the deadline is for a blind watcher.
    script.write_text(
        "import os, subprocess, sys, time\n"
        "if len(sys.argv) == 2:\n"
        "    sys.exit(subprocess.run([sys.executable, *sys.argv, 'child']).returncode)\n"
        "block, end = b'x' * (60 << 20), time.monotonic() + 20\n"
        "while not os.path.exists(sys.argv[1]) and time.monotonic() < end:\n"
        "    time.sleep(0.01)\n"
    )
    look = memory._field

    def field(pid, file, name):
        found = look(pid, file, name)
        if file == "status" and found > 60 << 20:  # asked after smaps_rollup
            seen.touch()
        return found

    monkeypatch.setattr(memory, "_field", field)
    peak, marks = memory.watched([sys.executable, str(script), str(seen)])
    assert peak > 60 << 20
    assert marks > peak


def test_a_command_that_fails_is_an_error():
    with pytest.raises(BenchError, match="sh -c exit 3"):
        memory.watched(["sh", "-c", "exit 3"])
