"""What needs real machines: libvirt, vagrant and a box that has been built.

Run by ``LAYERFS_TEST_BOX=debian13 pytest tests/vm`` (as root, some minutes under emulation), and
skipped otherwise.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness import box as boxes
from harness import virsh, vmdoctor, vmrun
from harness.errors import HarnessError

BOX = "LAYERFS_TEST_BOX"


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.vm)


@pytest.fixture(scope="session")
def box():
    name = os.environ.get(BOX)
    if not name:
        pytest.skip(f"no box is named: {BOX}=debian13 runs these tests on machines of it")
    lacks = vmdoctor.missing_packages()
    if lacks:
        pytest.skip(f"packages are missing: {', '.join(lacks)}")
    try:
        virsh.version()
        found = boxes.find(name)
    except HarnessError as error:
        pytest.skip(str(error))
    if found is None:
        pytest.skip(f"the box is not there: layerfs-conformance box build {name}")
    return found


def ours():
    """Return whatever there is of this suite's runs: domains, pools, files, processes."""
    found = {f"domain {name}" for name in virsh.names("domain") if name.startswith(vmrun.PREFIX)}
    for words in (["net-list", "--all", "--name"], ["pool-list", "--all", "--name"]):
        kind = words[0].partition("-")[0]
        found |= {f"{kind} {name}" for name in _told(*words) if name.startswith(vmrun.PREFIX)}
        if kind == "pool":
            volumes = [line for pool in _told(*words) for line in _told("vol-list", pool)]
            found |= {f"volume {line}" for line in volumes if f"/{vmrun.PREFIX}" in line}
    if vmrun.base().exists():
        found |= {str(vmrun.base()), *map(str, vmrun.base().iterdir())}
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"{vmrun.base()}/" in words:
            found.add(f"process {process.parent.name}: {words[:200]}")
    return found


def _told(*words):
    """Return the lines of virsh; none when what was asked for has just gone."""
    command = ["virsh", "--quiet", "--connect", virsh.URI, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


@pytest.fixture
def clean(box, monkeypatch):
    """Give the runs a folder of the test's own; nothing of them is left at the end."""
    assert box is not None
    with tempfile.TemporaryDirectory(prefix="layerfs-test-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o711)  # QEMU's user has to get there
        monkeypatch.setenv(vmrun.VARIABLE, f"{folder}/runs")
        before = ours()
        yield Path(folder)
        assert ours() - before == set()
