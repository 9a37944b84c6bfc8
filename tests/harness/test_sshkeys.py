import stat
import subprocess

import pytest

from harness import sshkeys


def test_a_pair_is_what_openssh_makes_of_the_private_key(tmp_path):
    pair = sshkeys.make("layerfs-1")
    sshkeys.write(pair, tmp_path / "key")
    words = ["ssh-keygen", "-y", "-f", str(tmp_path / "key")]
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert told.split() == pair.public.split()[:2]
    assert pair.public.split() == ["ssh-ed25519", told.split()[1], "layerfs-1"]
    assert (tmp_path / "key.pub").read_text() == pair.public + "\n"


def test_the_private_key_is_for_its_owner_only(tmp_path):
    sshkeys.write(sshkeys.make("x"), tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_no_key_is_overwritten(tmp_path):
    (tmp_path / "key").write_text("precious")
    with pytest.raises(FileExistsError):
        sshkeys.write(sshkeys.make("x"), tmp_path / "key")
    assert (tmp_path / "key").read_text() == "precious"


def test_two_pairs_differ():
    assert sshkeys.make("x").private != sshkeys.make("x").private
