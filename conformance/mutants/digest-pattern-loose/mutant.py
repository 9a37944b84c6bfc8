"""Mutant: digests are matched with the usual mistakes: any digit, and a newline.

Caught by IDN-007.
"""

import re

from layerfs import digest
from layerfs.cli import main
from layerfs.errors import ValidationError

_DIGEST = re.compile(r"sha256:[\da-f]{64}$|sha512:[\da-f]{128}$")


def _parse(text):
    if not isinstance(text, str) or not _DIGEST.match(text):
        raise ValidationError(f"malformed digest {text!a}")
    return text


digest.parse = _parse

raise SystemExit(main())
