"""Mutant: layers are named in one string of options, as they are.

Caught by STK-014 and HST-251.
"""

import os

from layerfs import mounts, syscalls
from layerfs.cli import main
from layerfs.errors import MountFailedError

_FLAGS = {True: syscalls.MS_RDONLY, False: 0}


def _mount(lowers, target, *, upper=None, work=None, userxattr=False, readonly=False, **more):
    data = "lowerdir=" + ":".join(lowers)
    if upper is not None:
        data += f",upperdir={upper},workdir={work}"
    if userxattr:
        data += ",userxattr"
    try:
        syscalls.mount(more["source"], target, "overlay", _FLAGS[readonly], os.fsencode(data))
    except OSError as error:
        raise MountFailedError(f"cannot mount the overlay: {error.strerror}") from error


mounts.mount_overlay = _mount

raise SystemExit(main())
