"""Mutant: a refusal ends with exit status 1, as errors of many programs do. Caught by PRO-004."""

from layerfs import session
from layerfs.cli import main

_call = session.call


def _one(verb):
    return 1 if _call(verb) else 0


session.call = _one

raise SystemExit(main())
