import pytest

from harness import target
from harness.errors import ConfigError, TargetError

from .sshd import HOST


@pytest.fixture
def inventory(tmp_path, monkeypatch):
    """Return a function that writes an inventory of some addresses and returns its path."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def write(*addresses):
        path = tmp_path / "hosts.toml"
        path.write_text(
            "".join(
                HOST.format(
                    port=one.port, user=one.user, key_file=one.key_file, host_key=one.host_key
                )
                for one in addresses
            )
        )
        return path

    return write


def test_an_unknown_target_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigError, match=r"^unknown target 'moon'; known targets: local, .*ssh:"):
        target.connect("moon")


@pytest.mark.parametrize("word", ["local:here", "ssh", "ssh:", ""])
def test_a_word_has_an_argument_where_its_kind_takes_one(word):
    with pytest.raises(ConfigError, match=r"^unknown target"):
        target.check(word)


def test_a_target_is_fresh_and_ends_with_its_remote():
    first, second = target.connect("local"), target.connect("local")
    try:
        assert first.name == second.name == "local"
        assert first.workdir != second.workdir
        assert first.run(["true"]).status == 0
    finally:
        first.close()
        second.close()


def test_a_session_of_targets_that_share_nothing_makes_nothing():
    told = []
    for _ in range(2):
        target.session("local", told.append).close()
    assert told == []


def test_a_source_of_fresh_targets_makes_none_ready_and_keeps_none():
    ready = []
    source = target.source("local")
    source.connect(ready.append).close()
    source.close()
    source.close()
    assert ready == []


def test_a_box_is_known_by_its_recipe():
    assert target.check("vagrant:debian13") == "vagrant:debian13"
    with pytest.raises(ConfigError, match="there is no box 'moon'; there are: debian12, debian13"):
        target.check("vagrant:moon")
    assert target.workers("vagrant:debian13", 3, 2) == 3


def test_any_number_of_processes_may_have_a_local_target():
    assert target.workers("local", 50, 2) == 50
    assert target.workers("local", None, 2) == 2


def test_an_inventory_is_found_from_wherever_a_process_runs(
    inventory, ssh_address, tmp_path, monkeypatch
):
    path = inventory(ssh_address)
    monkeypatch.chdir(tmp_path)
    assert target.check(f"ssh:{path.name}") == f"ssh:{path}"
    with pytest.raises(ConfigError, match="cannot be read"):
        target.check("ssh:missing.toml")


def test_there_are_not_more_processes_than_hosts(inventory, ssh_address):
    word = f"ssh:{inventory(ssh_address)}"
    assert target.workers(word, None, 8) == 1
    assert target.workers(word, 1, 8) == 1
    with pytest.raises(ConfigError, match=r"has 1 of the 3 hosts that -n 3 needs$"):
        target.workers(word, 3, 8)


def test_a_host_without_the_marker_is_left_alone(inventory, ssh_address, monkeypatch, tmp_path):
    word = f"ssh:{inventory(ssh_address)}"
    monkeypatch.setattr("harness.inventory.MARKER", str(tmp_path / "marker"))
    monkeypatch.setattr("harness.relay.PARENT", "/nothing/is/made")
    with pytest.raises(TargetError, match=r"disposable.*: touch .*/marker$"):
        target.connect(word)
    (tmp_path / "marker").touch()
    with target.connect(word) as remote:
        assert remote.run(["true"]).status == 0
    with target.connect(word):  # the host has been given back
        pass
