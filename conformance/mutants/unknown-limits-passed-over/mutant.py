"""Mutant: a limit of an unknown name is passed over. Caught by HST-117."""

from dataclasses import fields

from layerfs.cli import main
from layerfs.limits import Limits

NAMES = {one.name for one in fields(Limits)}
Limits.of = classmethod(lambda cls, given: cls(**{n: v for n, v in given.items() if n in NAMES}))

raise SystemExit(main())
