"""The decorator that ties a case to its clause. It does nothing else.

Area prefixes: IDN identity, APL applying, WHT whiteouts, HST hostile, STK stacking, UNM unmounting,
CMT commit, MRG merge, LIF life cycle, GC garbage, VER integrity, IMG images, LDG ledger,
PRO protocol, DIF differential, ZFS stores with a dataset (to ZFS-199), and on one (from ZFS-201).
"""

from __future__ import annotations

from typing import Final

import pytest

from harness.clause import Clause, Level

MUST: Final[Level] = "MUST"
SHOULD: Final[Level] = "SHOULD"
MAY: Final[Level] = "MAY"


def clause(
    id: str,  # noqa: A002 - the field's word
    level: Level,
    source: str,
    *,
    profile: str = "core",
    needs: tuple[str, ...] = (),
    target_needs: tuple[str, ...] = (),
) -> pytest.MarkDecorator:
    """Mark a test as the cases of clause ``id``; its requirement is the docstring's first sentence.

    ``needs`` are capabilities of the subject (``subject.toml``), ``target_needs`` facts of the host
    (``Host.facts``); where one is missing the case is reported as unsupported, with the reason.
    """
    return pytest.mark.clause(
        Clause(id, level, source, profile=profile, needs=needs, target_needs=target_needs)
    )
