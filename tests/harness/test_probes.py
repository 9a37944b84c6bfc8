from __future__ import annotations

import os
import platform
import shutil

import pytest

from harness import probes


def test_the_facts_are_true_of_the_target(local_host):
    facts = local_host.facts
    here = f"{local_host.workdir}/probed"
    local_host.write(here, b"")

    def possible(*call):
        try:
            local_host.call(*call)
        except OSError:
            return False
        return True

    assert facts["kernel"] == os.uname().release
    assert facts["distribution"] == platform.freedesktop_os_release().get("PRETTY_NAME", "")
    assert facts["can_chown_ids"] == possible("chown", here, 1000, 1000)
    assert facts["user_xattrs"] == possible("setxattr", here, "user.x", b"1")
    assert facts["trusted_xattrs"] == possible("setxattr", here, "trusted.x", b"1")
    device = f"{here}-device"
    assert facts["can_mknod_device"] == possible("mknod", device, 0o20600, os.makedev(1, 3))
    local_host.remove(here)
    local_host.remove(device)


def test_root_can_all_and_an_ordinary_user_what_its_namespace_permits(local_host):
    facts = local_host.facts
    is_root = os.geteuid() == 0
    assert facts["uid"] == 0
    assert facts["init_user_namespace"] == is_root
    assert facts["can_mknod_device"] == facts["trusted_xattrs"] == is_root
    assert facts["can_mknod_whiteout"]
    assert facts["can_hardlink"]
    assert facts["mount_tmpfs"]
    assert int(facts["capabilities"], 16) & (1 << 21), "CAP_SYS_ADMIN"


def test_probing_leaves_nothing(local_host):
    before = local_host.ledger()
    local_host._ask("facts", workdir=local_host.workdir)
    after = local_host.ledger()
    assert (before.files, before.mounts) == (after.files, after.mounts)


def test_a_file_system_that_cannot_bear_an_overlay_says_why(local_host):
    with local_host.mount_tmpfs(f"{local_host.workdir}/lower") as lower:
        for name in ("l", "u", "w", "merged"):
            local_host.mkdir(f"{lower}/{name}")
        options = f"lowerdir={lower}/l,upperdir={lower}/u,workdir={lower}/w"
        merged = f"{lower}/merged"
        mount = ["mount", "-t", "overlay", "-o", options, "overlay", merged]
        assert local_host.run(mount).status == 0
        facts = local_host._ask("facts", workdir=merged)
        assert facts["overlay"] is False
        assert facts["overlay_refusal"]
        assert local_host.run(["umount", merged]).status == 0
    local_host.remove(lower)


def test_without_privilege_overlayfs_is_refused_with_the_kernels_word(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("needs an ordinary user: root may mount")
    assert probes.overlay_refusal(str(tmp_path)) is not None
    assert os.listdir(tmp_path) == []


def test_the_tools_to_compare_with_are_found_by_starting_them(local_host):
    for fact, tool in (("gnu_tar", "tar"), ("umoci", "umoci"), ("skopeo", "skopeo")):
        found = shutil.which(tool) is not None
        assert local_host.facts[fact] == found, f"{tool}: {local_host.facts[fact]}"


def test_a_tool_that_is_not_there_or_fails_has_no_version(tmp_path):
    assert probes._version_of(str(tmp_path / "none")) == ""
    assert probes._version_of("false") == ""
