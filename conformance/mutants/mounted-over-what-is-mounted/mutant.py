"""Mutant: whether something is mounted at a target is not looked at. Caught by STK-011."""

from layerfs import views
from layerfs.cli import main

views.is_mountpoint = lambda _where: False

raise SystemExit(main())
