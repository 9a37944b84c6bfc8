from __future__ import annotations

import errno

import pytest

from harness import kernel


@pytest.mark.parametrize(
    ("call", "number", "path"),
    [
        (lambda: kernel.unshare(0x1), errno.EINVAL, None),
        (lambda: kernel.prctl(9999, 0), errno.EINVAL, None),
        (lambda: kernel.renameat2("/no/such", "/no/such2", 0), errno.ENOENT, "/no/such"),
        (lambda: kernel.umount("/no/such/place"), errno.ENOENT, "/no/such/place"),
        (lambda: kernel.umount(b"/no/such/\xff"), errno.ENOENT, "/no/such/\udcff"),
    ],
)
def test_what_the_kernel_refuses_is_an_os_error_with_its_path(call, number, path):
    with pytest.raises(OSError, match=r"Errno") as caught:
        call()
    # Without privilege the kernel may refuse before it looks at the path.
    assert caught.value.errno in {number, errno.EPERM}
    assert caught.value.filename == path


SCRIPT = """
import os, sys
sys.path.insert(0, sys.argv[1])
from harness import kernel
os.mkdir("t"); os.mkdir("t/bound")
kernel.mount("none", "t", "tmpfs", kernel.MS_NOSUID, "size=1m")
os.mkdir("t/sub"); kernel.mount("none", b"t/sub", "tmpfs")
kernel.set_readonly("t", readonly=True, recursive=True)
for path in ("t/x", "t/sub/x"):
    try: open(path, "w")
    except OSError as error: print(error.strerror)
kernel.set_readonly("t", readonly=False, recursive=False)
open("t/x", "w").close()
try: kernel.umount("t")
except OSError as error: print(error.strerror, error.filename)
kernel.umount("t/sub"); kernel.umount("t")
print(os.listdir("t"))
"""


def test_mounts_are_made_protected_and_ended(local_remote):
    root = kernel.__file__.rpartition("/harness/")[0]
    local_remote.run(["mkdir", "kernel"])
    cwd = f"{local_remote.workdir}/kernel"
    done = local_remote.run([local_remote.python, "-I", "-c", SCRIPT, root], cwd=cwd)
    assert done.stderr == b""
    assert done.stdout.decode().splitlines() == [
        "Read-only file system",
        "Read-only file system",
        "Device or resource busy t",
        "['bound']",
    ]
