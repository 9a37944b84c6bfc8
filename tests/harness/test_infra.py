from __future__ import annotations


def test_testinfra_sees_the_host_that_the_observer_sees(local_host):
    path = f"{local_host.workdir}/it's a file"
    local_host.write(path, "grüße\n".encode())
    file = local_host.infra.file(path)
    assert file.exists
    assert file.content_string == "grüße\n"
    local_host.call("chmod", path, 0o640)
    assert (file.mode, file.user) == (0o640, "root")
    local_host.remove(path)
    assert not file.exists


def test_testinfra_sees_the_mounts_of_the_target(local_host):
    path = f"{local_host.workdir}/mounted"
    assert not local_host.infra.mount_point(path).exists
    with local_host.mount_tmpfs(path):
        assert local_host.infra.mount_point(path).filesystem == "tmpfs"
    assert not local_host.infra.mount_point(path).exists


def test_a_command_that_fails_is_a_result(local_host):
    done = local_host.infra.run("echo %s; exit 3", "a b")
    assert (done.rc, done.stdout) == (3, "a b\n")
    assert local_host.infra.backend.get_pytest_id() == "layerfs-conformance://local"
