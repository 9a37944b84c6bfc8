import pytest

from harness import config, target
from harness.bench import Bench, SubjectUnfitError
from harness.errors import ConfigError, TargetError
from harness.local_remote import LocalRemote
from harness.observe import Host

from . import toy


@pytest.fixture
def bench(tmp_path):
    made = toy.make(tmp_path)
    bench = Bench("local", config.load(made.subject), "call")
    yield bench
    bench.discard()


def test_the_target_is_made_when_first_needed_and_kept(bench):
    assert not bench.is_made
    first = bench.remote
    assert bench.is_made
    assert bench.remote is first


def test_the_subject_has_said_who_it_is(bench):
    assert (bench.info.name, bench.info.version) == ("toy", "7.1")


def test_only_what_is_true_of_the_target_is_met(bench):
    assert bench.unmet(["overlay", "can_fly"]) == ["can_fly"]


def test_what_is_unmet_has_its_reason_where_one_is_known(bench):
    assert bench.unmet(["zfs", "zfs_upperdir", "can_fly"]) == [
        "zfs (pools are made only as root on a host itself)",
        "zfs_upperdir (pools are made only as root on a host itself)",
        "can_fly",
    ]


@pytest.fixture
def pools(monkeypatch):
    """Note which pools are asked for: whether they are to stay."""
    asked = []

    def make_pool(host, *, standing=False):
        assert host.exists("/")
        asked.append(standing)

    monkeypatch.setattr(Host, "make_pool", make_pool)
    return asked


def test_a_pool_is_made_when_cases_want_one(bench, pools):
    bench.ready()
    assert pools == []
    bench.discard()
    bench.wants_pool = True
    bench.ready()
    bench.ready()
    assert pools == [False]


def test_a_pool_is_made_for_a_subject_on_zfs(bench, pools, tmp_path):
    bench.ready()
    subject = config.load(tmp_path / "subject")
    bench.turn_to(subject.model_copy(update={"capabilities": ["zfs"]}))
    bench.ready()
    assert pools == [False]


def test_a_pool_that_cannot_be_made_is_the_targets_fault(bench, monkeypatch):
    def make_pool(host, **_):
        raise OSError(None, f"zpool create: no room on {host.remote.name}")

    monkeypatch.setattr(Host, "make_pool", make_pool)
    bench.wants_pool = True
    with pytest.raises(TargetError, match="local: no pool can be made: zpool create: no room"):
        bench.ready()
    assert not bench.is_made


def test_nothing_is_left_where_nothing_happened(bench):
    bench.ready()
    assert bench.settle() == []


def test_what_is_left_is_told_once_and_is_then_the_ground_for_the_next(bench):
    bench.host.mkdir(f"{bench.host.workdir}/left")
    assert len(bench.settle()) == 1
    assert bench.settle() == []


def test_what_is_still_on_its_way_out_is_waited_for(bench):
    bench.ready()
    with bench.remote.start(["sh", "-c", "sleep 0.3 & exit"]):
        assert bench.settle() == []


def test_after_a_discard_there_is_a_new_target(bench):
    old = bench.remote.workdir
    bench.discard()
    bench.discard()
    assert bench.remote.workdir != old


def other(tmp_path, **env):
    """The configuration of the same subject, with other variables in its environment."""
    subject = config.load(tmp_path / "subject")
    return subject.model_copy(
        update={"command": subject.command.model_copy(update={"env": {**env}})}
    )


def test_the_next_subject_has_the_target_of_one_that_left_nothing(bench, tmp_path):
    old = bench.remote.workdir
    bench.turn_to(other(tmp_path))
    assert bench.remote.workdir == old


def test_the_next_subject_has_another_target_where_something_was_left(bench, tmp_path):
    old = bench.remote.workdir
    bench.host.mkdir(f"{old}/left")
    bench.turn_to(other(tmp_path))
    assert bench.remote.workdir != old


def test_the_next_subject_has_another_target_where_a_mount_is_no_longer_writable(bench, tmp_path):
    old = bench.remote.workdir
    done = bench.host.run(["mount", "-o", "remount,noexec", old])
    if done.status != 0:
        pytest.skip(f"the work directory cannot be mounted anew here: {done.stderr!r}")
    assert bench.settle() == []
    bench.turn_to(other(tmp_path))
    assert bench.remote.workdir != old


def test_each_subject_says_itself_who_it_is(bench, tmp_path):
    assert bench.info.version == "7.1"
    bench.turn_to(other(tmp_path, TOY="dumb"))
    with pytest.raises(SubjectUnfitError):
        bench.ready()
    bench.turn_to(other(tmp_path))
    assert bench.info.version == "7.1"


def test_a_subject_that_is_unfit_is_not_asked_again(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY", "dumb")
    bench = Bench("local", config.load(toy.make(tmp_path).subject), "call")
    with pytest.raises(SubjectUnfitError, match="does not answer 'info'") as first:
        bench.ready()
    assert not bench.is_made
    with pytest.raises(SubjectUnfitError) as second:
        bench.ready()
    assert second.value is first.value


def test_a_subject_that_cannot_be_started_is_a_mistake_in_its_configuration(tmp_path):
    toml = toy.TOML.replace("{python}", "/no/such/program")
    bench = Bench("local", config.load(toy.make(tmp_path, toml=toml).subject), "call")
    with pytest.raises(ConfigError, match=r"subject\.toml: command\.argv"):
        bench.try_out()
    assert not bench.is_made


class Saved:
    """Local targets, each made ready on another one first, as if that had been saved."""

    def __init__(self, _):
        self.made_ready = 0
        self.closed = 0

    def connect(self, make_ready):
        with LocalRemote() as remote:
            make_ready(remote)
            self.made_ready += 1
        return LocalRemote()

    def keep(self, remote, _):
        remote.close()
        return True

    def close(self):
        self.closed += 1


def test_a_target_that_can_be_saved_is_made_ready_first(tmp_path, monkeypatch):
    monkeypatch.setattr(target, "source", Saved)
    bench = Bench("local", config.load(toy.make(tmp_path).subject), "call")
    assert bench.info.version == "7.1"
    assert bench._source.made_ready == 1
    bench.close()
    assert not bench.is_made
    assert bench._source.closed == 1


def test_what_is_saved_has_a_pool_that_stays(tmp_path, monkeypatch, pools):
    monkeypatch.setattr(target, "source", Saved)
    bench = Bench("local", config.load(toy.make(tmp_path).subject), "call")
    bench.wants_pool = True
    bench.ready()
    bench.close()
    assert pools == [True, False]


def test_a_target_that_is_kept_is_not_used_any_more(tmp_path, monkeypatch):
    monkeypatch.setattr(target, "source", Saved)
    bench = Bench("local", config.load(toy.make(tmp_path).subject), "call")
    old = bench.remote.workdir
    bench.keep("TOY-001 failed")
    assert not bench.is_made
    bench.keep("TOY-001 failed")
    assert bench.remote.workdir != old
    bench.close()


def test_a_target_that_cannot_be_kept_is_used_on(bench):
    old = bench.remote.workdir
    bench.keep("TOY-001 failed")
    assert bench.remote.workdir == old


def test_a_subject_that_is_unfit_while_it_is_made_ready_is_not_asked_again(tmp_path, monkeypatch):
    monkeypatch.setenv("TOY", "dumb")
    monkeypatch.setattr(target, "source", Saved)
    bench = Bench("local", config.load(toy.make(tmp_path).subject), "call")
    errors = []
    for _ in range(2):
        with pytest.raises(SubjectUnfitError) as error:
            bench.ready()
        errors.append(error.value)
    assert errors[0] is errors[1]
    assert bench._source.made_ready == 0
