"""Mutant: a digest may stand in the place of a list. Caught by PRO-003."""

from layerfs import fields
from layerfs.cli import main

_checked = fields.checked


def _lists(verb, known, request):
    if isinstance(request, dict) and isinstance(request.get("digests"), str):
        request = {**request, "digests": [request["digests"]]}
    return _checked(verb, known, request)


fields.checked = _lists

raise SystemExit(main())
