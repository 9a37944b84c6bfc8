"""Mutant: directories have their default ACLs before their children are made. Caught by APL-013."""

import os

from layerfs import layerxattrs
from layerfs.apply import _Applier
from layerfs.cli import main

_make_directory = _Applier._make_directory


def _with_default(self, member, step):
    _make_directory(self, member, step)
    if layerxattrs.ACL_DEFAULT in member.xattrs:
        acl = member.xattrs[layerxattrs.ACL_DEFAULT]
        os.setxattr(self._fd(step.node), layerxattrs.ACL_DEFAULT, acl)


_Applier._make_directory = _with_default

raise SystemExit(main())
