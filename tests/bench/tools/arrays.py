"""A tool that needs NumPy, which whoever measures has installed."""

from __future__ import annotations

import importlib

import sidewinder

numpy = importlib.import_module("numpy")


@sidewinder.tool(name="sum")
def total(body: bytes) -> bytes:
    """Has NumPy do something."""
    return str(int(numpy.arange(10).sum()) + len(body)).encode()
