"""How much a layer may ask for: each limit with its unit, default, and why that is safe. No I/O.

A layer is refused with LimitExceededError, whose ``limit`` is ``name=value``, at the first byte,
record or entry that is too many; nothing of it is kept. The defaults let every layer through that
registries and builders are known to make, and bound what a hostile one costs: memory to about
a gigabyte, the disk to what the archive honestly carries, time to what its bytes take.

Set from Python by ``LayerFS.open(root, limits=Limits(max_ratio=500))``, on the command line by
``--limit max_ratio=500``, and in the protocol by the field ``limits`` of ``open``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from layerfs.errors import ValidationError

_KIB, _MIB, _GIB, _TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
_MOST: Final = 2**63 - 1
_VALUE: Final = re.compile(r"([0-9]{1,19})([KMGT]?)")
_SUFFIXES: Final = {"": 1, "K": _KIB, "M": _MIB, "G": _GIB, "T": _TIB}


def _limit(default: int, unit: str, about: str, *, least: int = 1, most: int = _MOST) -> Any:
    """Return a field that tells of itself; a value is from ``least`` to ``most``."""
    facts = {"unit": unit, "about": about, "least": least, "most": most}
    return dataclasses.field(default=default, metadata=facts)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one store, as it is open. ValidationError for a value that cannot be."""

    # Images with whole TeX or Node trees have some 10**5 entries in a layer, the sources of Android
    # 10**6. Measured: a file takes 150 bytes of memory until its layer is whole, a directory 600.
    max_members: int = _limit(2_000_000, "entries", "entries of the archive, markers included")
    # The registries' own bounds on a compressed layer: 10 GiB (most), 200 GiB (Azure's largest).
    max_output_bytes: int = _limit(_TIB, "bytes", "the uncompressed archive")
    # Measured: a Debian base layer 2.7, text logs 11; a small layer of links may reach 350. Deflate
    # ends at 1032 (zlib, "Maximum Compression Factor"), zstd beyond 10,000. What does come near is
    # an accident, such as the zeros of a lastlog that was not stored sparse (moby#5419).
    max_ratio: int = _limit(200, "times", "uncompressed bytes for each byte of the blob so far")
    # Even empty files compress a thousandfold, and so little does no harm.
    ratio_floor_bytes: int = _limit(
        64 * _MIB, "bytes", "below so many uncompressed bytes max_ratio does not count", least=0
    )
    # The largest that occur are sparse maps of PAX 0.0 and 0.1: 30 bytes for each run.
    max_header_bytes: int = _limit(
        4 * _MIB, "bytes", "one extended header, long name or long link name"
    )
    # They count again with every member, so each byte of them costs as much time as there are
    # members. `git archive` writes one of 52 bytes, of which nothing counts.
    max_global_bytes: int = _limit(8 * _KIB, "bytes", "what all global headers say, together")
    # PATH_MAX (linux/limits.h), without its NUL: nobody could name a longer one.
    max_path_bytes: int = _limit(
        4095, "bytes", "the path of an entry, or of a hard link's target", least=256, most=4095
    )
    # As many as a path of PATH_MAX can name; real trees have some 30. Through a symlink of its own
    # a layer could go on for ever, down to where nobody can remove it by name.
    max_depth: int = _limit(2048, "components", "directories above one another, from the root on")
    # linux/limits.h, XATTR_NAME_MAX and XATTR_SIZE_MAX: the kernel takes no more.
    max_xattr_name_bytes: int = _limit(255, "bytes", "the name of one extended attribute", most=255)
    max_xattr_value_bytes: int = _limit(
        64 * _KIB, "bytes", "the value of one extended attribute", most=64 * _KIB
    )
    # Capabilities take 24 bytes, labels some 50, signatures of IMA some hundred.
    max_xattrs_bytes: int = _limit(
        _MIB, "bytes", "names and values of all extended attributes of one entry"
    )
    # A disk image of 4 GiB with a hole after every block has as many.
    max_sparse_entries: int = _limit(_MIB, "runs", "runs of data of one sparse file")
    # The largest real ones are lastlog files of users with large ids (292 bytes * 2**32: 1.25 TB;
    # moby#5419). Whoever copies or compares them reads all of the holes.
    max_file_bytes: int = _limit(4 * _TIB, "bytes", "one file, holes included")
    max_apparent_bytes: int = _limit(
        8 * _TIB, "bytes", "all sparse files of a layer together, holes included"
    )
    # One short header can ask for very many, or for a very deep one; layers have a few hundred.
    max_implicit_bytes: int = _limit(
        64 * _MIB, "bytes", "the paths of all directories that have no entry of their own, together"
    )

    def __post_init__(self) -> None:
        """Refuse values that cannot be."""
        for one in dataclasses.fields(self):
            value, least, most = (
                getattr(self, one.name),
                one.metadata["least"],
                one.metadata["most"],
            )
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise ValidationError(
                    f"limit {one.name}: {value!r} is not a whole number from {least} to {most}"
                )

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Self:
        """Return the defaults with ``given`` in their place. ValidationError: unknown, or bad."""
        names = [one.name for one in dataclasses.fields(cls)]
        for name in given:
            if name not in names:
                raise ValidationError(f"no limit {str(name)[:80]!r}; there are {', '.join(names)}")
        return cls(**given)

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Self:
        """Return the defaults with each ``NAME=VALUE`` in their place; the last of a name counts.

        A value is a whole number, with K, M, G or T behind it for powers of 1024. ValidationError.
        """
        given: dict[str, int] = {}
        for text in texts:
            name, equals, value = text.partition("=")
            match = _VALUE.fullmatch(value) if value.isascii() else None
            if not equals or match is None:
                raise ValidationError(
                    f"{text[:80]!r} is no limit: give NAME=VALUE, where the value is a whole "
                    "number, with K, M, G or T behind it for powers of 1024"
                )
            given[name] = int(match[1]) * _SUFFIXES[match[2]]
        return cls.of(given)

    def described(self) -> list[tuple[str, int, str, str]]:
        """Return name, value, unit, and what is limited, of each."""
        return [
            (one.name, getattr(self, one.name), one.metadata["unit"], one.metadata["about"])
            for one in dataclasses.fields(self)
        ]
