"""Mutant: verify names damaged files as ls(1) shows them. Caught by VER-003."""

import re

from layerfs.cli import main
from layerfs.verifytree import _Comparison

_report = _Comparison._report


def _shown(self, path, problem):
    _report(self, re.sub(rb"[\x00-\x1f]", b"?", path), problem)


_Comparison._report = _shown

raise SystemExit(main())
