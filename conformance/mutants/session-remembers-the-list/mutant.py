"""Mutant: a session answers list with what it has seen itself. Caught by PRO-008."""

from layerfs.cli import main
from layerfs.store import LayerFS

_layers, _add, _remove = LayerFS.layers, LayerFS.add_layer, LayerFS.remove_layer
_known = {}


def _remembered(self):
    return list(_known.setdefault(self.root, {one.digest: one for one in _layers(self)}).values())


def _seen(self, *args, **options):
    made = _add(self, *args, **options)
    _remembered(self)
    _known[self.root][made.digest] = made
    return made


def _forgotten(self, digest):
    _known.pop(self.root, None)
    return _remove(self, digest)


LayerFS.layers, LayerFS.add_layer, LayerFS.remove_layer = _remembered, _seen, _forgotten

raise SystemExit(main())
