import pytest

from harness import doctor
from harness.doctor import able
from harness.finding import Finding


@pytest.fixture(autouse=True)
def _no_machines(monkeypatch):
    """Leave out what machines need, which is slow to look at, and has tests of its own."""
    monkeypatch.setattr(doctor.vmdoctor, "examine", list)


def named(name):
    return next(finding for finding in doctor.examine() if finding.name == name)


def test_whatever_is_missing_comes_with_a_remedy():
    found = doctor.examine()
    assert {finding.name for finding in found} >= {"Python", "kernel", "overlayfs", "local target"}
    assert all(finding.remedy for finding in found if finding.status == "missing")
    assert all(not finding.remedy for finding in found if finding.status == "ok")


def test_only_what_is_missing_keeps_the_local_target_from_running():
    assert able([Finding("a", "ok", ""), Finding("b", "lacking", "")])
    assert not able([Finding("a", "ok", ""), Finding("b", "missing", "")])


@pytest.mark.parametrize("tool", ["skopeo", "umoci", "mmdebstrap"])
def test_a_missing_tool_is_lacking_and_its_package_is_named(monkeypatch, tmp_path, tool):
    (tmp_path / "apt-get").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = doctor._tool(tool, "helps")
    assert found.status == "lacking"
    assert found.remedy.endswith(f"apt-get install -y {tool}")


def test_an_old_kernel_is_missing(monkeypatch):
    class Old:
        release = "5.4.0-generic"

    monkeypatch.setattr(doctor.os, "uname", Old)
    assert doctor._kernel().status == "missing"


@pytest.mark.parametrize(
    ("release", "numbers"), [("6.18.44-fc-v595", (6, 18)), ("5.10", (5, 10)), ("odd", ())]
)
def test_kernel_releases_are_compared_as_numbers(release, numbers):
    assert doctor._release(release) == numbers


def test_a_probe_that_fails_is_told_in_its_own_words():
    assert doctor._in_namespace("echo why >&2; echo see dmesg >&2; exit 3") == "why"
    assert doctor._in_namespace("exit 3") == "unshare ended with status 3"
    assert doctor._in_namespace("true") is None


def test_a_target_that_cannot_be_made_is_missing_with_what_it_says(monkeypatch):
    def fail(_):
        raise doctor.RemoteError("user namespaces are switched off")

    monkeypatch.setattr(doctor.target, "connect", fail)
    found = doctor._local_target()
    assert (found.status, found.found) == ("missing", "user namespaces are switched off")
