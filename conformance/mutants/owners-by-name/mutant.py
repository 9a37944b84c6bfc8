"""Mutant: a member belongs to the user of its name, where there is one. Caught by APL-161."""

import contextlib
import pwd

from layerfs.cli import main
from layerfs.tarstream import TarReader

_member = TarReader._member


def _named(self, block, fields, extensions):
    member = _member(self, block, fields, extensions)
    name = block[265:297].partition(b"\0")[0]
    with contextlib.suppress(KeyError):
        user = pwd.getpwnam(name.decode())
        member.uid, member.gid = user.pw_uid, user.pw_gid
    return member


TarReader._plain = lambda _: None
TarReader._member = _named

raise SystemExit(main())
