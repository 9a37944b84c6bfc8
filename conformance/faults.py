"""Damage on a host's disk, as PROTOCOL.md, section 6, allows: of bytes that a case put there.

It stands for a failing disk. It looks for content, never for names, and learns nothing from where
that lies.
"""

from __future__ import annotations

import json
from typing import Final

from harness.observe import Host

#: Runs on the host: overwrites the first byte of every occurrence of a marker below a directory.
_DAMAGE: Final = """
import json, os, sys
root, marker = os.fsencode(sys.argv[1]), bytes.fromhex(sys.argv[2])
found = 0
for here, folders, files in os.walk(root):
    for name in files:
        path = os.path.join(here, name)
        if os.path.islink(path) or not os.path.isfile(path):
            continue
        with open(path, "rb") as file:
            data = file.read()
        at = data.find(marker)
        if at >= 0:
            times = os.stat(path)
            with open(path, "r+b", buffering=0) as file:
                while at >= 0:
                    file.seek(at)
                    file.write(bytes([data[at] ^ 0xFF]))
                    found += 1
                    at = data.find(marker, at + 1)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
print(json.dumps(found))
"""


def damage(host: Host, directory: str, marker: bytes) -> int:
    """Spoil every occurrence of ``marker`` in files below ``directory``; return how many."""
    done = host.run([host.remote.python, "-I", "-c", _DAMAGE, directory, marker.hex()])
    return int(json.loads(done.stdout))
