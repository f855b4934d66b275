"""Tools about values: what comes in, what goes out, and how large it is."""

from __future__ import annotations

from typing import Any

import sidewinder


@sidewinder.tool
def same(value: Any = None) -> Any:
    """What it was given."""
    return value


@sidewinder.tool
def kind(value: Any) -> str:
    """What Python makes of it."""
    return type(value).__name__


@sidewinder.tool
def size(body: bytes) -> bytes:
    """The number of bytes, as text."""
    return str(len(body)).encode()


@sidewinder.tool
def make(size: int) -> str:
    """A text of this length."""
    return "x" * size


@sidewinder.tool
def nothing() -> None:
    """Neither takes nor gives."""


@sidewinder.tool
def metadata(ctx: sidewinder.Context) -> dict[str, str]:
    """What the caller sent along."""
    return dict(ctx.metadata)


@sidewinder.tool
def context(ctx: sidewinder.Context) -> dict[str, Any]:
    """What came with the call."""
    return {"remaining": ctx.remaining(), "traceparent": ctx.traceparent, "attempt": ctx.attempt}
