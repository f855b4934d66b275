"""A module that does not import."""

from __future__ import annotations

import sidewinder


@sidewinder.tool
def never() -> None: ...


ZERO = 1 / 0
