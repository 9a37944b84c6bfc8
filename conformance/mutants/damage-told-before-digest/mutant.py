"""Mutant: a blob that is not what was declared is called damaged, if it is. Caught by IDN-005."""

from layerfs import reading
from layerfs.cli import main

reading._blame_digest = lambda *_: None

raise SystemExit(main())
