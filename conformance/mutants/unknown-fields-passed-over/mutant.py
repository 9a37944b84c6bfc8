"""Mutant: fields of a request that are not known are passed over. Caught by PRO-003."""

from layerfs import fields
from layerfs.cli import main

_checked = fields.checked


def _known(verb, known, request):
    if isinstance(request, dict) and verb != "session":
        request = {name: value for name, value in request.items() if name in known}
    return _checked(verb, known, request)


fields.checked = _known

raise SystemExit(main())
