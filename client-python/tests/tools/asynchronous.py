"""Async tools, and one sync tool beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import sidewinder

_gates: dict[str, asyncio.Event] = {}


@sidewinder.setup
async def connect() -> None:
    await asyncio.sleep(0)
    print("connected")


@sidewinder.teardown
async def disconnect() -> None:
    await asyncio.sleep(0)
    print("disconnected")


@sidewinder.tool
async def echo(body: Any) -> Any:
    return body


@sidewinder.tool
async def meets(name: str) -> str:
    """Two calls with the same name meet, or neither returns."""
    gate = _gates.get(name)
    if gate is None:
        _gates[name] = asyncio.Event()
        await _gates[name].wait()
        return "came first"
    gate.set()
    return "came second"


@sidewinder.tool
async def count(to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number


@sidewinder.tool
async def waits(ctx: sidewinder.Context) -> None:
    try:
        ctx.log("waiting")
        await asyncio.Event().wait()
    finally:
        ctx.log("cleaned up")


@sidewinder.tool
async def spins(ctx: sidewinder.Context) -> None:
    """Holds up the event loop."""
    ctx.log("spinning")
    while True:
        pass


@sidewinder.tool
async def totals(ctx: sidewinder.Context) -> AsyncIterator[int]:
    total = 0
    async for item in ctx.inputs:
        total += int(item)  # type: ignore[call-overload]
        yield total


@sidewinder.tool
async def wrong_way(ctx: sidewinder.Context) -> object:
    return list(ctx.inputs)


@sidewinder.tool
async def exits(how: str) -> None:
    if how == "task":
        asyncio.get_running_loop().create_task(_exit())
        await asyncio.sleep(0)
        return
    raise SystemExit(how)


async def _exit() -> None:
    raise SystemExit("left behind")


@sidewinder.tool
def plainly(body: Any) -> Any:
    return body


@sidewinder.tool
def named() -> str:
    return sidewinder.current()._call.request.name  # type: ignore[attr-defined,no-any-return]
