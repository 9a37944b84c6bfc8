"""Mutant: what a symlink in a directory leads to is read in its place.

Caught by HST-247 and HST-249.
"""

import os
import stat

from layerfs import ondisk
from layerfs.cli import main
from layerfs.ondisk import Directory, Entry

_entries, _status = Directory.entries, Directory.status


def _followed(self, prefix, **more):
    found = []
    for entry in _entries(self, prefix, **more):
        try:
            mode = os.stat(entry.name, dir_fd=self.fileno()).st_mode
        except OSError:
            mode = 0
        if entry.kind == "other" and (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            kind = "dir" if stat.S_ISDIR(mode) else "file"
            found.append(Entry(entry.name, kind, None))
        else:
            found.append(entry)
    return found


Directory.entries = _followed
ondisk._OPEN &= ~os.O_NOFOLLOW
ondisk._OPEN_DIR &= ~os.O_NOFOLLOW

raise SystemExit(main())
