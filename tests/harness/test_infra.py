from __future__ import annotations


def test_testinfra_sees_the_host_that_the_observer_sees(remote_host):
    path = f"{remote_host.workdir}/it's a file"
    remote_host.write(path, "grüße\n".encode())
    file = remote_host.infra.file(path)
    assert file.exists
    assert file.content_string == "grüße\n"
    remote_host.call("chmod", path, 0o640)
    assert (file.mode, file.user) == (0o640, "root")
    remote_host.remove(path)
    assert not file.exists


def test_testinfra_sees_the_mounts_of_the_target(remote_host):
    path = f"{remote_host.workdir}/mounted"
    assert not remote_host.infra.mount_point(path).exists
    with remote_host.mount_tmpfs(path):
        assert remote_host.infra.mount_point(path).filesystem == "tmpfs"
    assert not remote_host.infra.mount_point(path).exists


def test_a_command_that_fails_is_a_result(remote_host):
    done = remote_host.infra.run("echo %s; exit 3", "a b")
    assert (done.rc, done.stdout) == (3, "a b\n")
    assert (
        remote_host.infra.backend.get_pytest_id()
        == f"layerfs-conformance://{remote_host.remote.name}"
    )
