"""Mutant: leaves ACLs out on ZFS, as on a dataset that has none. Caught by ZFS-205, ZFS-209."""

from layerfs import inodes, layerxattrs
from layerfs.cli import main
from layerfs.filesystems import file_system_of

real = inodes.Inodes._set_xattrs


def _set_xattrs(self, target, xattrs, *, follow=True):
    """Keep the rest."""
    if file_system_of(target).kind == "zfs":
        xattrs = {name: xattrs[name] for name in xattrs if name not in layerxattrs.ACLS}
    real(self, target, xattrs, follow=follow)


inodes.Inodes._set_xattrs = _set_xattrs

raise SystemExit(main())
