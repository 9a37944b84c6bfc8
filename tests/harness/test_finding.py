from harness import finding


def test_the_package_has_the_name_that_the_distribution_gives_it(monkeypatch, tmp_path):
    (tmp_path / "dnf").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert finding.install_command("uidmap").endswith("dnf install -y shadow-utils")


def test_an_unknown_system_is_told_what_to_look_for(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert finding.install_command("a", "b").startswith("install a, b with this system's")


def test_who_is_not_root_is_told_to_become_it(monkeypatch):
    monkeypatch.setattr(finding.os, "geteuid", lambda: 1000)
    assert finding.sudo("modprobe overlay") == "sudo modprobe overlay"
    monkeypatch.setattr(finding.os, "geteuid", lambda: 0)
    assert finding.sudo("modprobe overlay") == "modprobe overlay"
