"""Mutant: what follows the first JSON value of a request is not read. Caught by PRO-004."""

import json

from layerfs import session
from layerfs.cli import main
from layerfs.errors import ValidationError


def _first(data):
    try:
        return json.JSONDecoder().raw_decode(data.decode().lstrip())[0]
    except ValueError as error:
        raise ValidationError(f"a request must be JSON: {error}") from None


session.decoded = _first

raise SystemExit(main())
