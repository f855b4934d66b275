"""A tool that needs pandas, which whoever measures has installed."""

from __future__ import annotations

import importlib

import sidewinder

pandas = importlib.import_module("pandas")


@sidewinder.tool(name="sum")
def total(body: bytes) -> bytes:
    """Has pandas do something."""
    return str(int(pandas.Series([1, 2]).sum()) + len(body)).encode()
