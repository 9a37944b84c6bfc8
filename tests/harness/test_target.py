import pytest

from harness import target
from harness.errors import ConfigError


def test_an_unknown_target_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigError, match=r"^unknown target 'moon'; known targets: local$"):
        target.connect("moon")


def test_a_target_is_fresh_and_ends_with_its_remote():
    first, second = target.connect("local"), target.connect("local")
    try:
        assert first.name == second.name == "local"
        assert first.workdir != second.workdir
        assert first.run(["true"]).status == 0
    finally:
        first.close()
        second.close()
