"""Mutant: a declared diffID is taken on trust. Caught by IDN-004."""

from layerfs import adding
from layerfs.cli import main
from layerfs.reading import Expected

_read_layer = adding.read_layer


def _trusting(raw, said, *more):
    return _read_layer(raw, Expected(said.media_type, said.digest, said.size), *more)


adding.read_layer = _trusting

raise SystemExit(main())
