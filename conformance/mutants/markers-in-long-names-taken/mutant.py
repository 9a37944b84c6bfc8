"""Mutant: invalid markers are looked for in names of up to 100 bytes. Caught by HST-246."""

from layerfs import layertree
from layerfs.cli import main
from layerfs.whiteout import classify


def _short_names_only(name, *, is_dir=False):
    if len(name) <= 100:
        return classify(name, is_dir=is_dir)
    if name.rpartition(b"/")[2] in {b".wh.", b".wh..", b".wh...", b".wh..wh.x"}:
        return None
    return classify(name, is_dir=is_dir)


layertree.classify = _short_names_only

raise SystemExit(main())
