"""Mutant: a digest in upper case is taken for the same in lower case. Caught by IDN-007."""

from layerfs import digest
from layerfs.cli import main

_parse = digest.parse
digest.parse = lambda text: _parse(text.lower() if isinstance(text, str) else text)

raise SystemExit(main())
