"""Stand-ins for virsh, vagrant, qemu-img and mke2fs: domains and pools are lines of a JSON file.

For what the harness does with their answers; what the real ones do is tested where libvirt runs.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

STATE = "TOY_LIBVIRT"


def install(folder: Path, monkeypatch) -> ToyLibvirt:
    """Put the stand-ins first into PATH."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("virsh", "vagrant", "qemu-img", "mke2fs"):
        script = programs / name
        script.write_text(f"#!{sys.executable}\n" + Path(__file__).read_text())
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv(STATE, str(folder / "libvirt.json"))
    monkeypatch.setenv("LAYERFS_VM_FOLDER", str(folder / "vm"))
    toy = ToyLibvirt()
    toy.write({"domains": {}, "pools": {}, "calls": [], "fails": {}})
    return toy


class ToyLibvirt:
    def read(self):
        return json.loads(Path(os.environ[STATE]).read_text())

    def write(self, state):
        Path(os.environ[STATE]).write_text(json.dumps(state))

    def change(self, kind, name, value):
        state = self.read()
        if value is None:
            state[kind].pop(name)
        else:
            state[kind][name] = value
        self.write(state)

    @property
    def domains(self):
        return self.read()["domains"]

    @property
    def pools(self):
        return self.read()["pools"]

    @property
    def calls(self):
        return self.read()["calls"]


class RefusalError(Exception):
    pass


def _domain(state, name):
    if name not in state["domains"]:
        raise RefusalError(f"failed to get domain '{name}'")
    return state["domains"][name]


def _virsh(state, words):  # noqa: C901, PLR0911, PLR0912
    words = words[3:]  # --quiet --connect URI
    verb, name = words[0], words[1] if len(words) > 1 else ""
    if verb in ("list", "pool-list"):
        return "\n".join([*state["domains" if verb == "list" else "pools"], ""])
    if verb == "version":
        return "Using library: libvirt 9.0.0"
    if verb == "domstate":
        return _domain(state, name)["state"]
    if verb == "destroy":
        if _domain(state, name)["state"] == "shut off":
            raise RefusalError("Requested operation is not valid: domain is not running")
        state["domains"][name]["state"] = "shut off"
    elif verb in ("start", "snapshot-revert"):
        _domain(state, name)["state"] = "running"
    elif verb == "undefine":
        _domain(state, name)
        del state["domains"][name]
    elif verb == "dumpxml":
        disks = "".join(
            f"<disk><source file='{file}'/></disk>" for file in _domain(state, name)["disks"]
        )
        return f"<domain><devices>{disks}</devices></domain>"
    elif verb == "pool-dumpxml":
        return f"<pool><target><path>{state['pools'][name]}</path></target></pool>"
    elif verb == "pool-create-as":
        state["pools"][name] = words[words.index("--target") + 1]
    elif verb in ("pool-destroy", "pool-undefine"):
        if state["pools"].pop(name, None) is None:
            raise RefusalError(
                f"failed to get pool '{name}'\nerror: Storage pool not found: no such"
            )
    elif verb == "snapshot-list":
        return "\n".join(_domain(state, name)["checkpoints"])
    elif verb == "snapshot-create-as":
        _domain(state, name)["checkpoints"].append(words[2])
    elif verb == "snapshot-delete":
        _domain(state, name)["checkpoints"].remove(words[2])
    elif verb == "qemu-monitor-command":
        return state["fails"].get("loadvm", "")
    else:
        raise RefusalError(f"unknown command: {verb}")
    return ""


def _vagrant(state, _):
    given = json.loads(Path(os.environ["LAYERFS_VAGRANT_JSON"]).read_text())
    name = given["name"]
    folder = Path(given["console"]).parent
    disks = [str(folder / disk["file"]) for disk in given["disks"]]
    state["domains"][name] = {"state": "running", "checkpoints": [], "disks": disks}
    return ""


def _files(_, words):
    Path([word for word in words if word.startswith("/")][-1]).touch()
    return ""


def _refuse(failure):
    if failure:
        raise RefusalError(failure)


def main():
    path = Path(os.environ[STATE])
    state = json.loads(path.read_text())
    program = Path(sys.argv[0]).name
    words = sys.argv[1:]
    known = words[3:] if program == "virsh" else words
    state["calls"].append([program, *known])
    status, said = 0, ""
    failure = state["fails"].get(program) or state["fails"].get(known[0])
    if isinstance(failure, list):
        failure = failure.pop(0) if failure else None
    try:
        _refuse(failure)
        act = {"virsh": _virsh, "vagrant": _vagrant, "qemu-img": _files, "mke2fs": _files}[program]
        said = act(state, words)
    except RefusalError as refused:
        status = 1
        sys.stderr.write(f"error: {refused}\n")
    path.write_text(json.dumps(state))
    sys.stdout.write(f"{said}\n")
    sys.exit(status)


if __name__ == "__main__":
    main()
