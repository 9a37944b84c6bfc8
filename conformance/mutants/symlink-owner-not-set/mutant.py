"""Mutant: symlinks belong to whoever extracts them. Caught by APL-004 and HST-008."""

from layerfs.apply import _Applier
from layerfs.cli import main

_must_chown = _Applier._must_chown
_Applier._must_chown = lambda self, member: member.kind != "symlink" and _must_chown(self, member)

raise SystemExit(main())
