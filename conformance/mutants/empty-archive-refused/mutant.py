"""Mutant: an archive without members is refused. Caught by APL-024."""

from layerfs.cli import main
from layerfs.errors import ValidationError
from layerfs.tarstream import TarReader

_end = TarReader._end


def _not_empty(self, extensions):
    if not self._members:
        raise ValidationError("the archive has no members")
    _end(self, extensions)


TarReader._end = _not_empty

raise SystemExit(main())
