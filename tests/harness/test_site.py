from __future__ import annotations

import os

from harness import site


def test_subordinate_ids_are_those_of_the_user(tmp_path, monkeypatch):
    table = tmp_path / "subuid"
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    table.write_text("# comment\nroot:1:2\n4242:100000:65536\n4242:200000:5\n")
    assert site._subordinate(str(table)) == (100000, 65536)
    table.write_text("4242:soon:many\n")
    assert site._subordinate(str(table)) is None
    assert site._subordinate(str(tmp_path / "missing")) is None
