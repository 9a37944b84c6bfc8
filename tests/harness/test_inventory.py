from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from harness import inventory
from harness.address import Address
from harness.errors import ConfigError, TargetError

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB0000000000000000000000000000000000000000000"
ONE = f'[[hosts]]\nhost = "h"\nkey_file = "key"\nhost_key = "{KEY}"\n'


@pytest.fixture
def write(tmp_path):
    (tmp_path / "key").touch()

    def write(text):
        path = tmp_path / "hosts.toml"
        path.write_text(text)
        return path

    return write


def test_what_is_left_out_has_its_usual_value(write, tmp_path):
    assert inventory.load(write(ONE)) == [Address("h", 22, "root", tmp_path / "key", KEY)]


def test_all_can_be_said(write):
    more = 'port = 2222\nuser = "vagrant"\npython = "/opt/python"\n'
    found = inventory.load(write(ONE + more))[0]
    assert (found.port, found.user, found.python) == (2222, "vagrant", "/opt/python")
    assert str(found) == "vagrant@h:2222"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("hosts = [", "not TOML"),
        ("", r"hosts"),
        ("hosts = []", r"hosts"),
        (ONE + "colour = 1", r"hosts.*colour"),
        (ONE + "port = 0", r"port"),
        (ONE + 'port = "22"', r"port"),
        (ONE.replace(KEY, "AAAA"), r"host_key"),
        (ONE.replace('"key"', '"lost"'), r"hosts\[0\]: key_file: .*lost is no file"),
        (ONE + ONE, r"hosts\[1\]: h:22 stands there twice"),
    ],
)
def test_a_wrong_file_is_told_in_a_line(write, text, why):
    path = write(text)
    with pytest.raises(ConfigError, match=rf"^{path}: .*|^{path}.*{why}") as caught:
        inventory.load(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        inventory.load(tmp_path / "none.toml")


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    one = Address("::1", 22, "root", tmp_path / "key", KEY)
    return [one, dataclasses.replace(one, port=23)]


def test_each_lease_is_of_another_host_until_there_is_none(hosts):
    leases = [inventory.lease(hosts) for _ in hosts]
    assert [address for address, _ in leases] == hosts
    with pytest.raises(TargetError, match=r"in use by other runs after 0\.2 s: ::1:22, ::1:23"):
        inventory.lease(hosts, wait=0.2)
    leases[1][1].release()
    address, again = inventory.lease(hosts, wait=0.0)
    assert address == hosts[1]
    again.release()
    leases[0][1].release()


HOLDER = """
import sys
from pathlib import Path
from harness import inventory
from harness.address import Address
held = inventory.lease([Address("::1", int(port), "", Path(), "") for port in sys.argv[1:]])
print(held[0].port, flush=True)
sys.stdin.read()
"""


def test_a_lease_ends_with_its_process(hosts):
    root = str(Path(inventory.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, "22", "23"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root,
    ) as other:  # fmt: skip
        assert other.stdout.readline() == b"22\n"
        address, lock = inventory.lease(hosts)
        assert address.port == 23
        lock.release()
        other.kill()
        other.wait()
        address, lock = inventory.lease(hosts[:1])
        lock.release()
