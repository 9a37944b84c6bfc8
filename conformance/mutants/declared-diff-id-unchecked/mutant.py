"""Mutant: a declared diffID is taken on trust. Caught by IDN-004."""

from dataclasses import replace

from layerfs import adding
from layerfs.cli import main

_read_layer = adding.read_layer


def _trusting(raw, expected, consume):
    return _read_layer(raw, replace(expected, diff_id=None), consume)


adding.read_layer = _trusting

raise SystemExit(main())
