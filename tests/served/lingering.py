"""A worker whose teardown takes longer than anybody wants to wait."""

from __future__ import annotations

import time

import sidewinder


@sidewinder.tool
def nothing() -> None:
    """Neither takes nor gives."""


@sidewinder.teardown
def linger() -> None:
    """Says that it has begun, and stays."""
    print("tearing down", flush=True)
    time.sleep(600)
