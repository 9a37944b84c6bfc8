import os
from types import SimpleNamespace

import pytest

from harness import vagrant_machine, vagrant_target, vmrun
from harness.acceleration import Acceleration
from harness.errors import ConfigError, TargetError
from harness.remote import Completed
from harness.vagrant_target import Session, Source
from harness.virsh import LibvirtUnreachableError

from . import toyvirt


class ToyRemote(vagrant_target.MachineRemote):
    """Notes what is asked of it; ``refuses`` lets every command fail."""

    refuses = False

    def __init__(self, machine, name):
        self.name = name
        self.machine = machine
        self.commands = []
        self.closed = False
        self.frozen = False

    def freeze(self):
        self.frozen = True

    def run(self, argv, **_):
        self.commands.append(argv)
        return Completed(int(self.refuses), b"", b"no such luck", 0.0)

    def close(self):
        self.closed = True


@pytest.fixture
def libvirt(tmp_path, monkeypatch):
    return toyvirt.install(tmp_path, monkeypatch)


@pytest.fixture
def box(libvirt, tmp_path, monkeypatch):
    paths = {part: tmp_path / part for part in ("image", "kernel", "initrd")}
    for path in paths.values():
        path.touch()
    box = SimpleNamespace(**paths, cmdline="")
    tried = Acceleration(kvm=False, why="tried")
    monkeypatch.setattr(vagrant_target, "find", lambda _: box)
    monkeypatch.setattr(vagrant_target.acceleration, "probe", lambda _: tried)
    monkeypatch.setattr(vagrant_target, "MachineRemote", ToyRemote)
    monkeypatch.setattr(vagrant_machine, "_greets", lambda _: True)
    yield box
    assert libvirt.domains == libvirt.pools == {}
    assert not vmrun.base().exists()
    assert vagrant_target.RUN not in os.environ


@pytest.fixture
def session(box):
    assert box
    with Session("debian13", print) as session:
        yield session


@pytest.fixture
def source(session):
    assert session
    source = Source("debian13")
    yield source
    source.close()


def test_a_box_without_a_recipe_is_refused():
    with pytest.raises(ConfigError, match="there is no box 'windows'; there are: debian12, debian"):
        vagrant_target.check("windows")
    assert vagrant_target.check("debian13") == "debian13"


@pytest.mark.usefixtures("box")
def test_the_box_is_built_when_it_is_missing(monkeypatch):
    built, told = [], []
    monkeypatch.setattr(vagrant_target, "find", lambda _: None)
    monkeypatch.setattr(vagrant_target, "build", lambda name, _: built.append(name))
    Session("debian13", told.append).close()
    assert built == ["debian13"]
    assert told == [
        "the box debian13 is built first; it is kept for later runs",
        "the box debian13 was built in 0 s",
    ]


def test_a_machine_is_made_ready_once_and_saved_as_it_then_is(source, libvirt):
    ready = []
    first = source.connect(ready.append)
    assert len(ready) == 1
    assert ready[0] is not first
    assert ready[0].closed
    assert libvirt.verbs.index("up") < libvirt.verbs.index("snapshot-create-as")
    first.close()
    second = source.connect(ready.append)
    assert len(ready) == 1
    assert second.machine.name == first.machine.name
    assert "qemu-monitor-command" in libvirt.verbs
    assert libvirt.verbs.count("up") == 1


def test_what_it_takes_to_have_a_machine_is_told_once(source):
    for _ in range(3):
        source.connect(lambda _: None)
    made, *back = source.steps()
    assert made.name == "brought up, made ready and saved"
    assert [step.name for step in back] == ["put back", "put back"]
    assert all(step.seconds >= 0 for step in (made, *back))
    assert source.steps() == []


def test_the_clock_is_set_for_each_remote(source):
    for remote in (source.connect(lambda _: None), source.connect(lambda _: None)):
        assert remote.commands[0][:3] == ["date", "--utc", "--set"]


def test_a_machine_that_died_goes_back_to_its_checkpoint(source, libvirt):
    name = source.connect(lambda _: None).machine.name
    libvirt.domains[name]["state"] = "shut off"
    source.connect(lambda _: None)
    assert libvirt.domains[name]["state"] == "running"
    assert libvirt.verbs.count("up") == 1


def test_a_machine_that_does_not_go_back_is_made_anew(source, libvirt):
    ready = []
    name = source.connect(ready.append).machine.name
    libvirt.domains[name]["state"] = "crashed"
    libvirt.fails["snapshot-revert"] = "Could not set up host forwarding rule 'tcp:'"
    source.connect(ready.append)
    assert len(ready) == 2
    assert libvirt.verbs.count("up") == 2


def test_a_machine_that_was_not_made_ready_is_made_anew(source):
    def fails(_):
        raise ConfigError("install.run[0]: no such program")

    with pytest.raises(ConfigError):
        source.connect(fails)
    ready = []
    source.connect(ready.append)
    assert len(ready) == 1


def test_a_daemon_that_died_is_told_and_not_mistaken_for_a_broken_machine(source, libvirt):
    source.connect(lambda _: None)
    libvirt.fails["virsh"] = "failed to connect to the hypervisor"
    with pytest.raises(LibvirtUnreachableError):
        source.connect(lambda _: None)
    libvirt.fails["virsh"] = []


def test_a_clock_that_cannot_be_set_is_an_error_and_no_remote_is_left(source, monkeypatch):
    made = []
    monkeypatch.setattr(ToyRemote, "refuses", True)
    monkeypatch.setattr(
        vagrant_target, "MachineRemote", lambda *args: made.append(ToyRemote(*args)) or made[-1]
    )
    with pytest.raises(TargetError, match=r"^vagrant:debian13: the clock .*: no such luck$"):
        source.connect(lambda _: None)
    assert [remote.closed for remote in made] == [True]


def test_a_machine_outlives_its_process_and_ends_with_the_run(session, libvirt):
    first = Source("debian13")
    name = first.connect(lambda _: None).machine.name
    first.close()
    first.close()
    assert list(libvirt.domains) == [name]
    ready = []
    second = Source("debian13")
    assert second.connect(ready.append).machine.name == name
    assert ready == []
    second.close()
    session.close()
    session.close()
    assert libvirt.domains == {}


@pytest.mark.usefixtures("session")
def test_two_processes_have_two_machines():
    sources = [Source("debian13"), Source("debian13")]
    names = {source.connect(lambda _: None).machine.name for source in sources}
    assert len(names) == 2
    for source in sources:
        source.close()


@pytest.mark.usefixtures("box")
def test_without_a_session_a_source_has_a_run_of_its_own(libvirt):
    source = Source("debian13")
    source.connect(lambda _: None)
    source.close()
    assert libvirt.domains == {}


@pytest.mark.usefixtures("session")
def test_a_box_that_is_not_there_is_not_built_by_the_way(monkeypatch):
    monkeypatch.setattr(vagrant_target, "find", lambda _: None)
    with pytest.raises(TargetError, match=r"'layerfs-conformance box build debian13'$"):
        Source("debian13").connect(lambda _: None)


@pytest.mark.usefixtures("box")
def test_machines_that_are_kept_stay_until_the_next_run(libvirt):
    told = []
    session = Session("debian13", told.append)
    source = Source("debian13")
    remote = source.connect(lambda _: None)
    name = remote.machine.name
    line = remote.machine.enter()
    assert source.keep(remote, "WHT-004 failed")
    assert remote.frozen
    other = source.connect(lambda _: None)
    assert other.machine.name != name
    assert not source.keep(other, "WHT-005 failed")
    source.close()
    session.close()
    assert told == [f"kept until the next run with machines: WHT-004 failed: {line}"]
    assert name in libvirt.domains
    Session("debian13", print).close()
    assert libvirt.domains == {}


@pytest.mark.usefixtures("session")
def test_a_session_within_a_session_is_nothing_of_its_own(libvirt):
    before = len(libvirt.calls)
    vagrant_target.session("debian13", print).close()
    assert len(libvirt.calls) == before
    assert vagrant_target.RUN in os.environ
