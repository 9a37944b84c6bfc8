"""Stand-ins for virsh, vagrant, qemu-img and mke2fs, in place of :func:`harness.tool.run`.

For what the harness does with their answers; what the real ones do is tested where libvirt runs.
"""

from __future__ import annotations

import json
from pathlib import Path

from harness import tool


def install(folder: Path, monkeypatch) -> ToyLibvirt:
    """Have the stand-ins asked, and all runs below ``folder``."""
    toy = ToyLibvirt()
    really = tool.run

    def run(argv, *, timeout, env=None, keep=()):
        if argv[0] in toy.programs:
            return toy.run(argv, env)
        return really(argv, timeout=timeout, env=env, keep=keep)

    monkeypatch.setattr(tool, "run", run)
    monkeypatch.setenv("LAYERFS_VM_FOLDER", str(folder / "vm"))
    return toy


class RefusalError(Exception):
    pass


class ToyLibvirt:
    """``domains`` and ``pools`` by name; ``calls`` without options of virsh itself.

    ``fails`` has, by program or verb, what it says as it fails: always, or once for each of a list.
    ``complaint`` is what QEMU says instead of loading a checkpoint.
    """

    def __init__(self):
        self.domains = {}
        self.pools = {}
        self.calls = []
        self.fails = {}
        self.complaint = ""
        self.programs = {
            "virsh": self._virsh,
            "vagrant": self._vagrant,
            "qemu-img": self._file,
            "mke2fs": self._file,
        }

    @property
    def verbs(self):
        return [call[1] for call in self.calls]

    def machine(self, name, state="running", checkpoints=(), disks=()):
        kept = {"state": state, "checkpoints": list(checkpoints), "disks": list(disks)}
        self.domains[name] = kept

    def run(self, argv, env):
        program, *words = argv
        known = words[3:] if program == "virsh" else words  # --quiet --connect URI
        self.calls.append([program, *known])
        failure = self.fails.get(program) or self.fails.get(known[0])
        if isinstance(failure, list):
            failure = failure.pop(0) if failure else None
        if failure:
            return tool.Done(tuple(argv), 1, "", f"error: {failure}\n")
        try:
            said = self.programs[program](known, env) or ""
        except RefusalError as refused:
            return tool.Done(tuple(argv), 1, "", f"error: {refused}\n")
        return tool.Done(tuple(argv), 0, f"{said}\n", "")

    def _domain(self, name):
        if name not in self.domains:
            raise RefusalError(f"failed to get domain '{name}'")
        return self.domains[name]

    def _virsh(self, words, _):
        verb, *rest = words
        act = getattr(self, "_" + verb.replace("-", "_"), None)
        if act is None:
            raise RefusalError(f"unknown command: {verb!r}")
        return act(*rest)

    def _version(self):
        return "Using library: libvirt 9.0.0"

    def _list(self, *_):
        return "\n".join([*self.domains, ""])

    def _pool_list(self, *_):
        return "\n".join([*self.pools, ""])

    def _domstate(self, name):
        return self._domain(name)["state"]

    def _destroy(self, name):
        if self._domain(name)["state"] == "shut off":
            raise RefusalError("Requested operation is not valid: domain is not running")
        self.domains[name]["state"] = "shut off"

    def _start(self, name):
        self._domain(name)["state"] = "running"

    def _undefine(self, name, *_):
        self._domain(name)
        del self.domains[name]

    def _dumpxml(self, name):
        files = self._domain(name)["disks"]
        disks = "".join(f"<disk><source file='{file}'/></disk>" for file in files)
        return f"<domain><devices>{disks}</devices></domain>"

    def _pool_dumpxml(self, name):
        return f"<pool><target><path>{self.pools[name]}</path></target></pool>"

    def _pool_create_as(self, name, _kind, _target, folder):
        self.pools[name] = folder

    def _pool_destroy(self, name):
        if self.pools.pop(name, None) is None:
            raise RefusalError(f"failed to get pool '{name}'\nerror: Storage pool not found: no")

    _pool_undefine = _pool_destroy

    def _snapshot_list(self, name, _):
        return "\n".join(self._domain(name)["checkpoints"])

    def _snapshot_create_as(self, name, checkpoint):
        self._domain(name)["checkpoints"].append(checkpoint)

    def _snapshot_delete(self, name, checkpoint):
        self._domain(name)["checkpoints"].remove(checkpoint)

    def _snapshot_revert(self, name, *_):
        self._start(name)

    def _qemu_monitor_command(self, name, *_):
        self._domain(name)
        return self.complaint

    def _vagrant(self, _, env):
        given = json.loads(Path(env["LAYERFS_VAGRANT_JSON"]).read_text())
        folder = Path(given["console"]).parent
        self.machine(given["name"], disks=[folder / disk["file"] for disk in given["disks"]])

    def _file(self, words, _):
        Path([word for word in words if word.startswith("/")][-1]).touch()
