"""An async tool to serve beside sync ones: the main thread then runs an event loop."""

from __future__ import annotations

import sidewinder


@sidewinder.tool
async def nothing() -> None: ...
