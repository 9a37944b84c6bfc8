"""Mutant: directories inherit the default ACL of the one that they lie in. Caught by APL-108."""

import os

from layerfs import apply
from layerfs.cli import main
from layerfs.layerxattrs import ACL_DEFAULT

_apply = apply.apply


def _then(reader, root_fd, **options):
    report = _apply(reader, root_fd, **options)
    for _, directories, _, fd in os.fwalk(b".", dir_fd=root_fd):
        if ACL_DEFAULT.decode() in os.listxattr(fd):
            for name in directories:
                path = b"/proc/self/fd/%d/%b" % (fd, name)
                os.setxattr(path, ACL_DEFAULT, os.getxattr(fd, ACL_DEFAULT))
    return report


apply.apply = _then

raise SystemExit(main())
