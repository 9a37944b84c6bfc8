import json

import pytest

from harness.errors import RemoteError, RemoteTimeoutError
from harness.evidence import Evidence, folder_name
from harness.remote import Completed


@pytest.mark.parametrize(
    ("case", "name"),
    [("WHT-004", "WHT-004"), ("WHT-004[last]", "WHT-004_last"), ("A-001[x-1.5]", "A-001_x-1.5")],
)
def test_a_plain_case_id_stays_readable(case, name):
    assert folder_name(case) == name


def test_odd_parameters_make_safe_and_different_names():
    names = {folder_name(f"HST-001[{odd}]") for odd in ("a/b", "a b", "../..", "x" * 300, "\udcff")}
    assert len(names) == 5
    assert all(set(name) <= set("HST-001_abx.0123456789abcdef-") for name in names)
    assert all(len(name) < 128 for name in names)


class Host:
    """A remote that answers, refuses, or has gone."""

    def __init__(self, log):
        self.log = log

    def run(self, argv, **_):
        if argv[0] == "cat":
            return Completed(0, b"21 1 8:1 / / rw - ext4 /dev/sda1 rw\n", b"", 0.0)
        if isinstance(self.log, Exception):
            raise self.log
        return self.log


def written(tmp_path, evidence, **changes):
    fields = {"headline": "WHT-001: failed", "transcript": [], "leaks": []} | changes
    names = evidence.write(tmp_path, **fields)
    return {name: (tmp_path / name).read_text() for name in names}


def test_each_file_says_its_part(tmp_path):
    evidence = Evidence("WHT-001")
    evidence.look(Host(Completed(0, b"one\ntwo\n", b"", 0.0)))
    evidence.failures.append("--- call ---\nE  trees differ")
    transcript = [{"verb": "add", "status": 0}, {"verb": "stack", "status": 10}]
    files = written(tmp_path, evidence, transcript=transcript, leaks=["a mount", "a process"])
    folder = "evidence/WHT-001"
    assert files[f"{folder}/ledger.txt"] == "a mount\na process\n"
    assert files[f"{folder}/dmesg.txt"] == "one\ntwo\n"
    assert files[f"{folder}/zfs.txt"] == "one\ntwo\n"
    assert "ext4" in files[f"{folder}/mounts.txt"]
    assert files[f"{folder}/failure.txt"] == "WHT-001: failed\n\n--- call ---\nE  trees differ\n"
    lines = files[f"{folder}/transcript.jsonl"].splitlines()
    assert [json.loads(line)["verb"] for line in lines] == ["add", "stack"]


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (Completed(1, b"", b"dmesg: Operation not permitted\n", 0.0), "Operation not permitted"),
        (RemoteError("the target has gone"), "the target has gone"),
        (FileNotFoundError(2, "No such file or directory"), "No such file"),
    ],
)
def test_what_could_not_be_looked_at_is_said_in_its_place(tmp_path, log, said):
    evidence = Evidence("WHT-001")
    evidence.look(Host(log))
    assert said in written(tmp_path, evidence)["evidence/WHT-001/dmesg.txt"]


def test_what_a_slow_look_has_seen_in_its_time_is_kept(tmp_path):
    evidence = Evidence("WHT-001")
    evidence.look(Host(RemoteTimeoutError("dmesg: not done", stdout=b"so far\n")))
    assert written(tmp_path, evidence)["evidence/WHT-001/dmesg.txt"] == (
        "so far\n(not all in 10 s)\n"
    )


def test_the_first_look_is_kept_since_tearing_down_changes_the_mounts(tmp_path):
    evidence = Evidence("WHT-001")
    evidence.look(Host(Completed(0, b"at the failure", b"", 0.0)))
    evidence.look(Host(Completed(0, b"later", b"", 0.0)))
    assert written(tmp_path, evidence)["evidence/WHT-001/dmesg.txt"] == "at the failure\n"


def test_text_that_is_not_utf8_is_written_all_the_same(tmp_path):
    files = written(tmp_path, Evidence("WHT-001"), headline="name \udcff", leaks=["\udc80"])
    assert "\\udcff" in files["evidence/WHT-001/failure.txt"]


class Witness(Host):
    def __init__(self, testimony):
        super().__init__(Completed(0, b"", b"", 0.0))
        self.testimony_ = testimony

    def testimony(self):
        if isinstance(self.testimony_, Exception):
            raise self.testimony_
        return self.testimony_


def test_a_target_that_knows_more_is_heard(tmp_path):
    evidence = Evidence("WHT-001")
    evidence.look(Witness({"console.txt": "Kernel panic\n"}))
    files = written(tmp_path, evidence)
    assert files["evidence/WHT-001/console.txt"] == "Kernel panic\n"
    assert "evidence/WHT-001/taint.txt" in files


def test_a_witness_that_fails_says_why(tmp_path):
    evidence = Evidence("WHT-001")
    evidence.look(Witness(RemoteError("libvirt does not answer")))
    said = written(tmp_path, evidence)["evidence/WHT-001/testimony.txt"]
    assert said == "(libvirt does not answer)\n"
