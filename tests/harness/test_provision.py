"""What vagrant/provision does to public boxes, beside what the recipes make."""

import re
import shutil
import subprocess

import pytest

from harness import boxrecipe

SCRIPTS = sorted((boxrecipe.data() / "provision").glob("*.sh"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_parse(script):
    shell = shutil.which("dash") or "sh"
    done = subprocess.run([shell, "-n", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_public_boxes_get_the_packages_of_our_own():
    text = (boxrecipe.data() / "provision" / "packages.sh").read_text()
    said = re.search(r'packages="(.*?)"', text, re.DOTALL)
    assert said is not None
    # What every public box has, or it would not boot.
    given = {"systemd-sysv", "udev", "kmod"}
    assert set(said.group(1).split()) | given == set(boxrecipe.load("debian13").packages)


def test_sessions_over_one_connection_are_as_many_on_public_boxes():
    pattern = re.compile(r"^(MaxSessions|MaxStartups|PermitRootLogin) .*", re.MULTILINE)
    own = boxrecipe.data() / "boxes/common/files/etc/ssh/sshd_config.d/layerfs.conf"
    settings = boxrecipe.data() / "provision" / "settings.sh"
    lines = [match.group() for match in pattern.finditer(own.read_text())]
    assert lines
    assert lines == [match.group() for match in pattern.finditer(settings.read_text())]
