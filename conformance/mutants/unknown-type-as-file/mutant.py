"""Mutant: a member of an unknown type is a file, as POSIX has it. Caught by APL-029 and HST-153."""

from layerfs import tarstream
from layerfs.cli import main

tarstream._KINDS.update((bytes([flag]), "file") for flag in b"89ABCDEFGHIJMNOPQRTUVWXYZ\x7f")

raise SystemExit(main())
