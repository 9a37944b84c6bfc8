from __future__ import annotations

import pytest

from harness import config
from harness.errors import ConfigError

WHOLE = """
protocol = 1
name = "toy"
profiles = ["core"]
capabilities = ["session", "merge"]
[command]
argv = ["{python}", "{dir}/toy.py"]
env = { TOY = "{dir}" }
"""


def write(folder, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "subject.toml").write_text(text, encoding="utf-8")
    return folder


def test_a_whole_file_is_read_with_its_defaults(tmp_path):
    toy = config.load(write(tmp_path / "toy", WHOLE))
    assert (toy.name, toy.profiles, toy.timeouts.call) == ("toy", ["core"], 60.0)
    assert toy.limits.max_layers is None
    assert toy.declares("session", "merge")
    assert not toy.declares("session", "gc")
    assert toy.directory == tmp_path / "toy"


def test_placeholders_are_filled_in_for_the_target(tmp_path):
    toy = config.load(write(tmp_path, WHOLE))
    assert toy.argv(python="/usr/bin/py", directory="/on/target") == [
        "/usr/bin/py",
        "/on/target/toy.py",
    ]
    assert toy.env(python="", directory="/on/target") == {"TOY": "/on/target"}


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ("", "protocol: is missing (and 2 more)"),
        ("protocol = 2\n" + WHOLE.replace("protocol = 1\n", ""), "protocol: 2 is not allowed"),
        (WHOLE.replace("name =", "nmae ="), "nmae: unknown key (did you mean 'name'?); allowed"),
        (WHOLE.replace('"toy"', '""'), "name: '' should match pattern"),
        (
            WHOLE.replace('["core"]', '["coer"]'),
            "profiles[0]: 'coer' is not allowed; allowed: core",
        ),
        (WHOLE.replace('["core"]', "[]"), "profiles: must not be empty"),
        (WHOLE.replace('["core"]', '"core"'), "profiles: must be a list, not text"),
        (
            WHOLE.replace('"merge"', '"mrege"'),
            "capabilities[1]: 'mrege' is not a capability (did you mean 'merge'?); allowed: check",
        ),
        (WHOLE.replace('"{dir}/toy.py"', "7"), "command.argv[1]: must be text, not an integer"),
        (WHOLE + "shell = true\n", "command.shell: unknown key; allowed here: argv, env"),
        (
            "command = 5\n" + WHOLE.partition("[command]")[0],
            "command: must be a table, not an integer",
        ),
        (WHOLE + "[limits]\nmax_layers = 0\n", "limits.max_layers: 0 should be greater than"),
        (WHOLE + "[timeouts]\ncall = 'x'\n", "timeouts.call: must be a number, not text"),
        (
            WHOLE + "[[expected_failures]]\nreason='r'\nlink='https://x'\n",
            "expected_failures[0]: needs either clause or case",
        ),
        (
            WHOLE + "[[expected_failures]]\nclause='A'\nlink='https://x'\n",
            "expected_failures[0].reason: is missing",
        ),
        (
            WHOLE + "[[expected_failures]]\nclause='A'\nreason='r'\nlink='soon'\n",
            "expected_failures[0].link: 'soon' should match pattern",
        ),
        (WHOLE + "[mutant]\ndescription='d'\ncatches=[]\n", "mutant.catches: must not be empty"),
        ("protocol = \n", "not TOML: Invalid value (at line 1, column 12)"),
        (WHOLE + 'base = "../nowhere"\n', "command.base: unknown key; allowed here: argv, env"),
        ('base = "../nowhere"\n' + WHOLE, "base: '../nowhere' is no folder with a subject.toml"),
        ("base = 5\n" + WHOLE, "base: 5 is no folder with a subject.toml"),
        ('directory = "/etc"\n' + WHOLE, "directory: unknown key"),
    ],
)
def test_garbage_ends_in_one_exact_line(tmp_path, wrong, line):
    with pytest.raises(ConfigError) as caught:
        config.load(write(tmp_path / "toy", wrong))
    text = str(caught.value)
    assert text.startswith(f"{tmp_path}/toy/subject.toml: {line}"), text
    assert "\n" not in text


def test_a_file_that_is_missing_or_not_text_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"subject\.toml: cannot be read: No such file"):
        config.load(tmp_path)
    (tmp_path / "subject.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match=r"not TOML: not UTF-8 at byte 8"):
        config.load(tmp_path)


def test_a_mutant_states_only_what_differs_from_its_base(tmp_path):
    write(tmp_path / "subjects" / "toy", WHOLE)
    mutant = config.load(
        write(
            tmp_path / "mutants" / "slow",
            'base = "../../subjects/toy"\n'
            '[command]\nenv = { SLOW = "{dir}" }\n'
            '[mutant]\ndescription = "slow"\ncatches = ["ABC-001"]\n',
        )
    )
    assert mutant.name == "slow"
    assert mutant.capabilities == ["session", "merge"]
    assert mutant.argv(python="py", directory="/m/slow")[1] == "/m/slow/../../subjects/toy/toy.py"
    assert mutant.env(python="py", directory="/m/slow") == {
        "TOY": "/m/slow/../../subjects/toy",
        "SLOW": "/m/slow",
    }
    assert mutant.mutant is not None
    assert mutant.mutant.catches == ["ABC-001"]


def test_bases_that_lead_back_to_themselves_are_refused(tmp_path):
    write(tmp_path / "one", 'base = "../two"\n')
    write(tmp_path / "two", 'base = "../one"\n')
    with pytest.raises(ConfigError, match="base: leads back to itself: one -> two -> one"):
        config.load(tmp_path / "one")


def test_a_capability_may_ask_something_of_the_host(tmp_path):
    toy = config.load(write(tmp_path, WHOLE))
    assert toy.target_needs == ()
    zfs = toy.model_copy(update={"capabilities": ["session", "zfs"]})
    assert zfs.target_needs == ("zfs",)


def test_an_expected_failure_covers_its_cases_or_its_whole_clauses(tmp_path):
    text = WHOLE + (
        "[[expected_failures]]\nclause='AAA-001'\nreason='one'\nlink='https://x/1'\n"
        "[[expected_failures]]\ncase='BBB-001[x]'\nreason='two'\nlink='https://x/2'\n"
        "[[expected_failures]]\nclause=['CCC-001', 'CCC-002']\ncase=['BBB-002', 'BBB-003[x]']\n"
        "reason='three'\nlink='https://x/3'\n"
    )
    toy = config.load(write(tmp_path, text))

    def reason(clause, case):
        found = toy.expected_failure(clause, case)
        return found and found.reason

    assert reason("AAA-001", "AAA-001[any]") == "one"
    assert reason("BBB-001", "BBB-001[x]") == "two"
    assert reason("BBB-001", "BBB-001[y]") is None
    assert reason("CCC-002", "CCC-002[any]") == reason("BBB-003", "BBB-003[x]") == "three"
    assert reason("BBB-003", "BBB-003[y]") is None


def test_an_expected_failure_may_say_what_shows_it(tmp_path):
    entry = "[[expected_failures]]\nclause='AAA-001'\nreason='r'\nlink='https://x/1'\n"
    known = config.load(write(tmp_path, WHOLE + entry + "shown_by='x --fail'\n"))
    assert known.expected_failures[0].shown_by == "x --fail"


def test_a_subject_is_found_by_name_or_by_folder(tmp_path, monkeypatch):
    write(tmp_path / "subjects" / "toy", WHOLE)
    monkeypatch.setattr(config, "SUBJECTS", tmp_path / "subjects")
    assert config.resolve("toy").name == "toy"
    assert config.resolve(str(tmp_path / "subjects" / "toy")).name == "toy"
    with pytest.raises(
        ConfigError,
        match=r"^tou: neither a subject nor a folder with subject.toml "
        r"\(did you mean 'toy'\?\); known subjects: toy$",
    ):
        config.resolve("tou")
