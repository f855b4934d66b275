"""Sidewinder for Python, on both sides of a call.

In a worker, plain functions become tools. Nothing but the standard library is needed:

    import sidewinder

    @sidewinder.tool
    def add(a: int, b: int) -> int:
        return a + b

Elsewhere, with grpcio and protobuf, it calls them:

    with sidewinder.Client() as client:
        print(client.call("add", {"a": 1, "b": 2}))

Names that begin with an underscore are nobody's promise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._context import Cancelled, Context, current
from ._tools import after_fork, before_fork, setup, teardown, tool

__version__ = "0.1.0"

__all__ = [
    "Cancelled",
    "Context",
    "__version__",
    "after_fork",
    "before_fork",
    "current",
    "setup",
    "teardown",
    "tool",
]

if TYPE_CHECKING:
    from . import aio as aio
    from ._client.errors import (
        BadRequest as BadRequest,
        CallCancelled as CallCancelled,
        DeadlineExceeded as DeadlineExceeded,
        DeadlinePassed as DeadlinePassed,
        Error as Error,
        Failure as Failure,
        Raised as Raised,
        Refusal as Refusal,
        Rejected as Rejected,
        Unavailable as Unavailable,
    )
    from ._client.flowing import Items as Items
    from ._client.speaking.seen import (
        Daemon as Daemon,
        Event as Event,
        Parameter as Parameter,
        Pool as Pool,
        Reloaded as Reloaded,
        Size as Size,
        Stacks as Stacks,
        Tool as Tool,
        Worker as Worker,
    )
    from ._client.threads import Client as Client
else:

    def __getattr__(name: str) -> object:
        from ._lazy import PLACES, fetch

        if name not in PLACES:
            raise AttributeError(f"module 'sidewinder' has no attribute {name!r}")
        value = globals()[name] = fetch(name)
        return value

    def __dir__() -> list[str]:
        from ._lazy import PLACES

        return sorted({*globals(), *PLACES})
