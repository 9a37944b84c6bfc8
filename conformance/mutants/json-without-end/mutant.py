"""Mutant: JSON is decoded without a bound or a handler. Caught by IMG-007."""

import json

from layerfs import manifest
from layerfs.cli import main

manifest.decode = lambda data, _what: json.loads(data)

raise SystemExit(main())
