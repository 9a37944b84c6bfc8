"""Mutant: a verb that is not known is refused like a malformed request. Caught by PRO-002."""

from layerfs import verbs
from layerfs.cli import main
from layerfs.errors import ValidationError

verbs.UnsupportedError = ValidationError

raise SystemExit(main())
