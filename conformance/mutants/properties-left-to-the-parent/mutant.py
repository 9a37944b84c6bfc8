"""Mutant: leaves acltype, xattr and the like as the parent dataset has them. Caught by ZFS-030."""

from layerfs.backends import zfschains
from layerfs.cli import main

for name in ("acltype", "xattr", "readonly", "snapdir"):
    del zfschains.PROPERTIES[name]

raise SystemExit(main())
