"""A module whose setup hook gives up."""

from __future__ import annotations

import sys

import sidewinder


@sidewinder.setup
def load() -> None:
    sys.exit("no")


@sidewinder.tool
def never() -> None: ...
