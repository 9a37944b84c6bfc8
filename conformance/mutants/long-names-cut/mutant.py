"""Mutant: a component that is too long is cut to what Linux takes. Caught by HST-014."""

from layerfs import tarstream
from layerfs.cli import main
from layerfs.tarfields import NAME_MAX

_clean_name = tarstream.clean_name
tarstream.clean_name = lambda raw: _clean_name(b"/".join(p[:NAME_MAX] for p in raw.split(b"/")))

raise SystemExit(main())
