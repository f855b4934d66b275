"""A tool that never gives back what it took."""

from __future__ import annotations

import sidewinder

_held: list[bytes] = []


@sidewinder.tool
def grow(mib: int) -> int:
    """Holds so much more, and says how often it was asked."""
    _held.append(b"x" * (mib << 20))
    return len(_held)
