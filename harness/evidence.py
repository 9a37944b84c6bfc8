"""What a failed case leaves for its reader, in ``OUTPUT/evidence/<case>/``.

| file | what |
|---|---|
| ``transcript.jsonl`` | each call of the subject: request, status, both streams, duration |
| ``failure.txt`` | the verdict, the requirement, and pytest's own account |
| ``mounts.txt`` | the target's mountinfo at the moment of the failure |
| ``dmesg.txt`` | the tail of the kernel's log, or why it could not be read |
| ``zfs.txt`` | the run's pools and what is in them, where there are any |
| ``taint.txt`` | the kernel's taint flags (sysfs-kernel "tainted"): 0 when nothing went wrong |
| ``ledger.txt`` | what the case left behind on the host; empty when nothing |

A target that is a :class:`Witness` adds files of its own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from harness.errors import HarnessError, RemoteTimeoutError
from harness.remote import Remote

FOLDER = "evidence"
_DMESG_LINES = 200
_TIMEOUT = 10.0
_ZFS_TIMEOUT = 30.0
#: Each imported pool has a directory of the kernel's.
_ZFS = """
cd /proc/spl/kstat/zfs 2>/dev/null || exit 0
for pool in layerfs-*; do
    test -d "$pool" || continue
    zpool status "$pool"
    zfs list -r -t all -o name,type,used,origin,mounted,mountpoint,userrefs "$pool"
    zfs get -Hr -t filesystem,volume -s local,received all "$pool"  # slow: what there was time for
done
"""


def folder_name(case_id: str) -> str:
    """Return a file name for ``case_id``, different for different cases.

    Brackets become an underscore; whatever else a file name or a URL would mind is dropped, and a
    short digest then keeps the names apart.
    """
    plain = case_id.removesuffix("]").replace("[", "_")
    safe = re.sub(r"[^A-Za-z0-9._=-]+", "_", plain)[:100]
    if safe == plain:
        return safe
    return f"{safe}-{hashlib.sha256(case_id.encode(errors='surrogateescape')).hexdigest()[:8]}"


@runtime_checkable
class Witness(Protocol):
    """A target that knows more than what can be asked of the host itself."""

    def testimony(self) -> Mapping[str, str]:
        """Return texts by file name. Raises HarnessError."""


@dataclass(slots=True)
class Evidence:
    """The evidence of one case, in memory until :meth:`write`."""

    case_id: str
    mounts: str = ""
    dmesg: str = ""
    taint: str = ""
    zfs: str = ""
    testimony: Mapping[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def look(self, remote: Remote) -> None:
        """Take what the host and its transport show now; keeps what was taken before.

        Never raises: a target that no longer answers is itself what there is to know.
        """
        if not self.mounts:
            self.mounts = _output(remote, ["cat", "/proc/self/mountinfo"])
            log = _output(remote, ["dmesg"])
            self.dmesg = "\n".join(log.splitlines()[-_DMESG_LINES:])
            self.zfs = _output(remote, ["sh", "-c", _ZFS], _ZFS_TIMEOUT)
            self.taint = _output(remote, ["cat", "/proc/sys/kernel/tainted"])
            if isinstance(remote, Witness):
                self.testimony = _heard(remote)

    def write(
        self,
        output: Path,
        *,
        headline: str,
        transcript: Iterable[Mapping[str, Any]],
        leaks: Iterable[str],
    ) -> tuple[str, ...]:
        """Write the files below ``output``; return their names relative to it."""
        folder = output / FOLDER / folder_name(self.case_id)
        folder.mkdir(parents=True, exist_ok=True)
        texts = {
            "failure.txt": "\n\n".join([headline, *self.failures]),
            "transcript.jsonl": "\n".join(json.dumps(call) for call in transcript),
            "ledger.txt": "\n".join(leaks),
            "mounts.txt": self.mounts,
            "dmesg.txt": self.dmesg,
            "taint.txt": self.taint,
            "zfs.txt": self.zfs,
            **self.testimony,
        }
        for name, text in texts.items():
            ended = text.rstrip("\n") + "\n" if text else ""
            (folder / name).write_text(ended, encoding="utf-8", errors="backslashreplace")
        return tuple(f"{FOLDER}/{folder.name}/{name}" for name in texts)


def _heard(witness: Witness) -> Mapping[str, str]:
    try:
        return witness.testimony()
    except (HarnessError, OSError) as error:
        return {"testimony.txt": f"({error})"}


def _output(remote: Remote, argv: list[str], timeout: float = _TIMEOUT) -> str:
    try:
        done = remote.run(argv, timeout=timeout)
    except RemoteTimeoutError as late:
        return late.stdout.decode(errors="backslashreplace") + f"(not all in {timeout:g} s)"
    except (HarnessError, OSError) as error:
        return f"({' '.join(argv)}: {error})"
    if done.status != 0:
        return f"({' '.join(argv)}: {done.stderr.decode(errors='replace').strip()})"
    return done.stdout.decode(errors="backslashreplace")
