import pytest

from harness import debian
from harness.errors import TargetError

TARGETS = """Debian|bookworm-security|main|http://security.test/debian-security/
Other|bookworm|main|http://other.test/
Debian|bookworm|contrib|http://part.test/
Debian|bookworm|main|http://archive.test/debian/
"""


def test_packages_come_from_where_this_machine_has_them(monkeypatch):
    monkeypatch.delenv(debian.MIRROR, raising=False)
    monkeypatch.setattr(debian, "_apt", lambda *_: TARGETS)
    assert debian._archive() == "http://archive.test/debian/"


def test_a_mirror_can_be_named(monkeypatch):
    monkeypatch.setenv(debian.MIRROR, "http://mirror.test/")
    assert debian._archive() == "http://mirror.test/"


def test_a_machine_that_knows_no_archive_is_told_what_to_do(monkeypatch):
    monkeypatch.delenv(debian.MIRROR, raising=False)
    monkeypatch.setattr(debian, "_apt", lambda *_: "")
    with pytest.raises(TargetError, match=r"apt-get update.*LAYERFS_DEBIAN_MIRROR"):
        debian._archive()


def test_only_proxies_are_taken_of_this_machines_apt_settings(monkeypatch):
    dump = (
        'Acquire::http::Proxy "http://a.test";\nAcquire::https::x.test::Proxy "DIRECT";\n'
        'Acquire::Languages "none";\nAPT::Architecture "amd64";\n'
    )
    monkeypatch.setattr(debian, "_apt", lambda *_: dump)
    assert debian.proxies() == dump.splitlines()[:2]


@pytest.fixture
def apt(monkeypatch):
    """What apt was asked, option by option; it "downloads" two files, or says what is wrong."""
    asked = []

    def run(*argv, timeout):
        assert timeout > 60
        options = dict(word[2:].split("=", 1) for word in argv if word.startswith("-o"))
        words = [word for word in argv[2:] if not word.startswith("-")]
        if "none-such" in words:
            raise TargetError("Unable to locate package none-such")
        asked.append((options, words))
        if words[0] == "install":
            for name in words[1:]:
                (debian.Path(options["Dir::Cache"]) / "archives" / f"{name}_1_all.deb").touch()

    monkeypatch.setattr(debian, "_apt", run)
    return asked


def test_packages_are_put_into_a_new_folder_and_nothing_else_is_left(apt, tmp_path):
    debian.download("deb uri suite main", ["a", "b"], b"Package: c\n", tmp_path / "debs")
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "a_1_all.deb",
        "b_1_all.deb",
        "debs",
    ]
    assert [words for _, words in apt] == [["update"], ["install", "a", "b"]]


def test_this_machines_lists_and_state_take_no_part(apt, tmp_path):
    debian.download("deb uri suite main", ["a"], b"", tmp_path / "debs")
    for options, _ in apt:
        own = ("Dir::Etc::SourceList", "Dir::State::Lists", "Dir::State::Status", "Dir::Cache")
        assert all(options[name].startswith(str(tmp_path)) for name in own)
        assert options["Dir::Etc::SourceParts"] == "/dev/null"


@pytest.mark.usefixtures("apt")
def test_a_download_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(TargetError, match="none-such"):
        debian.download("deb uri suite main", ["none-such"], b"", tmp_path / "debs")
    assert list(tmp_path.iterdir()) == []
