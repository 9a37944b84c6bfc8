"""The probes on file systems that any host has; tests/zfs runs them in a pool."""

from __future__ import annotations

import os

import pytest

from harness import poolprobes

ROOT = os.path.dirname(os.path.dirname(poolprobes.__file__))
#: Runs in a target, where overlays may be mounted.
PROBE = """
import os, sys
from harness import poolprobes
place = sys.argv[1]
for name in ("_upper_refusal", "_opaque_refusal"):
    print(poolprobes._attempt(f"{place}/{name}", getattr(poolprobes, name)) or "fine")
for name in ("_rename_whiteout",):
    print(poolprobes._can(place, getattr(poolprobes, name)))
print(sorted(os.listdir(place)))
"""


def probed(host, place):
    argv = [host.facts["python"], "-c", PROBE, host.mkdir(place)]
    done = host.run(argv, cwd=ROOT)
    assert done.status == 0, done.stderr
    host.remove(place)
    return done.stdout.decode().splitlines()


def test_what_can_bear_an_overlay_does(local_host):
    if not local_host.facts["trusted_xattrs"]:
        pytest.skip("needs root: without privilege overlays have other attributes")
    found = probed(local_host, f"{local_host.workdir}/place")
    assert found == ["fine", "fine", "True", "['_opaque_refusal', '_upper_refusal']"]


def test_what_cannot_says_where_it_ends(local_host):
    with local_host.mount_tmpfs(f"{local_host.workdir}/lower") as lower:
        for name in ("l", "u", "w", "merged"):
            local_host.mkdir(f"{lower}/{name}")
        options = f"lowerdir={lower}/l,upperdir={lower}/u,workdir={lower}/w"
        if not local_host.facts["trusted_xattrs"]:
            options += ",userxattr"
        argv = ["mount", "-t", "overlay", "-o", options, "overlay", f"{lower}/merged"]
        assert local_host.run(argv).status == 0
        upper, *_ = probed(local_host, f"{lower}/merged/place")
        assert upper.startswith(("merged: ", "overlay: "))
        assert local_host.run(["umount", f"{lower}/merged"]).status == 0
    local_host.remove(lower)


def test_what_an_action_refuses_is_false_and_leaves_nothing(tmp_path):
    def refuses(path):
        (tmp_path / "seen").write_text(path)
        raise PermissionError(13, "no")

    assert poolprobes._can(str(tmp_path), refuses) is False
    assert poolprobes._can(str(tmp_path), poolprobes._write) is True
    assert os.listdir(tmp_path) == ["seen"]


def test_a_file_system_without_clones_has_none(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(poolprobes.zfstool, "run", lambda *argv: synced.append(argv))
    poolprobes._can(str(tmp_path), lambda path: poolprobes._clone(path, "p"))
    assert synced == [("zpool", "sync", "p")]


@pytest.mark.parametrize(("said", "runs"), [('{"return":7}', True), (OSError(None, "no"), False)])
def test_programs_are_run_to_see_whether_they_run(monkeypatch, said, runs):
    def run(*argv, stdin):
        assert argv[:3] == ("zfs", "program", "-jn")
        assert stdin == "return 7\n"
        if isinstance(said, OSError):
            raise said
        return said

    monkeypatch.setattr(poolprobes.zfstool, "run", run)
    assert poolprobes._runs_programs("p") is runs
