import json

import pytest

from harness import acceleration
from harness.errors import TargetError


@pytest.fixture
def qemu(tmp_path, monkeypatch):
    """Return how to say what the emulator does; it appends a line to ``starts`` each time."""
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(acceleration, "DEVICE", tmp_path / "kvm")
    (tmp_path / "kvm").touch()
    (tmp_path / "kernel").write_text("a kernel")

    def does(script):
        program = programs / acceleration.QEMU
        program.write_text(f"#!/bin/sh\necho >> {tmp_path}/starts\n{script}\n")
        program.chmod(0o755)
        return tmp_path / "kernel"

    return does


PANIC = "echo 'VFS: Unable to mount root fs on unknown-block(0,0)'"


def test_kvm_works_when_a_kernel_gets_as_far_as_its_root(qemu):
    kernel = qemu(PANIC)
    assert acceleration.probe(kernel).kvm


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'KVM internal error. Suberror: 1' >&2; sleep 100", "KVM internal error. Suberror"),
        ("echo 'kvm_buf_set_msrs: Assertion failed.' >&2; kill -ABRT $$", "Assertion failed"),
        ("echo 'Linux version 6.12'", "did not get far"),
        ("exit 0", "did not get far"),
    ],
)
def test_kvm_does_not_work_when_it_does_not(qemu, monkeypatch, script, why):
    monkeypatch.setattr(acceleration, "_TIMEOUT", 1.0)
    found = acceleration.probe(qemu(script))
    assert not found.kvm
    assert why in found.why


def test_it_is_tried_once_for_each_kernel_and_emulator(qemu, tmp_path):
    kernel = qemu(PANIC)
    assert acceleration.probe(kernel) == acceleration.probe(kernel)
    assert (tmp_path / "starts").read_text() == "\n"
    kernel.write_text("another kernel")
    acceleration.probe(kernel)
    assert (tmp_path / "starts").read_text() == "\n\n"


def test_what_was_found_before_the_host_booted_counts_for_nothing(qemu, tmp_path):
    kernel = qemu(PANIC)
    acceleration.probe(kernel)
    kept = tmp_path / "cache" / "layerfs" / "acceleration.json"
    told = json.loads(kept.read_text())
    kept.write_text(json.dumps({**told, "key": "another-boot " + told["key"].split(" ", 1)[1]}))
    qemu("exit 1")
    assert not acceleration.probe(kernel).kvm


def test_a_broken_note_is_no_answer(qemu, tmp_path):
    kernel = qemu(PANIC)
    (tmp_path / "cache" / "layerfs").mkdir(parents=True)
    (tmp_path / "cache" / "layerfs" / "acceleration.json").write_text("[")
    assert acceleration.probe(kernel).kvm


def test_without_the_device_nothing_is_started(qemu, tmp_path):
    kernel = qemu(PANIC)
    (tmp_path / "kvm").unlink()
    found = acceleration.probe(kernel)
    assert not found.kvm
    assert found.why == f"there is no {tmp_path}/kvm"
    assert not (tmp_path / "starts").exists()


def test_without_the_emulator_the_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match=r"install the package qemu-system-x86$"):
        acceleration.probe(tmp_path)
