"""Sidewinder's worker runtime: plain functions become tools that other programs call.

    import sidewinder

    @sidewinder.tool
    def add(a: int, b: int) -> int:
        return a + b

Nothing but the standard library is needed. Names that begin with an underscore are nobody's promise.
"""

from __future__ import annotations

from ._context import Cancelled, Context, current
from ._tools import setup, teardown, tool

__version__ = "0.1.0"

__all__ = ["Cancelled", "Context", "__version__", "current", "setup", "teardown", "tool"]
