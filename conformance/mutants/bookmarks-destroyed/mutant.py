"""Mutant: destroys bookmarks with a layer. Caught by ZFS-056."""

from layerfs.cli import main
from layerfs.zfs import programs

LISTED = 'for b in zfs.list.bookmarks(d) do add(d,"bookmark",b) end\n'
assert LISTED in programs.REMOVE
programs.REMOVE = programs.REMOVE.replace(LISTED, "")

raise SystemExit(main())
