import json
import subprocess
import sys

import pytest

from harness import answers, config, skeleton
from harness.errors import ConfigError

from .toy import environment


@pytest.fixture(params=sorted(skeleton.LANGUAGES))
def subject(request, tmp_path):
    skeleton.write(tmp_path / "my-store", request.param)
    return config.load(tmp_path / "my-store")


def call(subject, verb, **request):
    argv = subject.argv(python=sys.executable, directory=str(subject.directory))
    done = subprocess.run(
        [*argv, "call", verb], input=json.dumps(request).encode(),
        capture_output=True, env=environment(), timeout=60, check=False,
    )  # fmt: skip
    return answers.judge(
        verb, request, frozenset(subject.capabilities),
        status=done.returncode, stdout=done.stdout, stderr=done.stderr,
    )  # fmt: skip


def test_it_is_a_subject_by_the_name_of_its_folder(subject):
    assert subject.name == "my-store"
    info = call(subject, "info")
    assert (info.name, info.protocol) == ("my-store", 1)


def test_it_keeps_layers(subject, tmp_path):
    store, blob = str(tmp_path / "store"), tmp_path / "blob"
    blob.write_bytes(bytes(1024))
    assert call(subject, "open", store=store).store == store
    layer = call(subject, "add", store=store, path=str(blob), size=1024).layer
    assert layer.size == 1024
    assert call(subject, "get", store=store, digest=layer.digest).layer == layer
    assert call(subject, "list", store=store).layers == (layer,)
    assert [call(subject, "remove", store=store, digest=layer.digest).removed for _ in "12"] == [
        True, False,
    ]  # fmt: skip
    call(subject, "close", store=store)
    assert call(subject, "list", store=store).layers == ()


@pytest.mark.parametrize(
    ("verb", "request_", "code"),
    [
        ("get", {"digest": "sha256:" + "0" * 64}, "layer-not-found"),
        ("get", {"digest": "sha256:no"}, "validation-error"),
        ("get", {"digest": "sha256:" + "0" * 64 + "\n"}, "validation-error"),
        ("get", {}, "validation-error"),
        ("list", {"more": 1}, "validation-error"),
        ("add", {"path": "/nowhere"}, "path-error"),
        ("unmount", {"target": "/nowhere"}, "invalid-mount-point"),
    ],
)
def test_it_refuses_as_the_protocol_says(subject, tmp_path, verb, request_, code):
    call(subject, "open", store=str(tmp_path / "store"))
    with pytest.raises(answers.Refused) as caught:
        call(subject, verb, store=str(tmp_path / "store"), **request_)
    assert caught.value.code == code


@pytest.mark.parametrize("name", ["a b", ".x", "-x", "ä"])
def test_what_is_no_name_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="is no name of a subject"):
        skeleton.write(tmp_path / name, "python")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_left_alone(tmp_path):
    skeleton.write(tmp_path / "mine", "python")
    with pytest.raises(ConfigError, match="File exists"):
        skeleton.write(tmp_path / "mine", "shell")
    assert not (tmp_path / "mine" / "adapter.sh").exists()
