"""Mutant: the directory that stack made for a target is never removed.

Caught by STK-012, UNM-001 and UNM-011.
"""

from layerfs import views, viewstate
from layerfs.cli import main

views.remove_target = viewstate.remove_target = lambda _target: None

raise SystemExit(main())
