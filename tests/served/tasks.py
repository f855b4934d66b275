"""Async tools that share one loop, politely or not."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import sidewinder


@sidewinder.tool
async def who() -> int:
    """The process that runs this."""
    return os.getpid()


@sidewinder.tool
async def spins() -> None:
    """Never awaits, so nobody else has a turn."""
    while True:
        pass


@sidewinder.tool
async def rests(seconds: float) -> str:
    """Awaits."""
    await asyncio.sleep(seconds)
    return "rested"


@sidewinder.tool
async def blocks(began: str, gate: str) -> str:
    """Holds up the loop until there is such a file."""
    Path(began).write_text("began")
    while not Path(gate).exists():
        time.sleep(0.005)
    return "open"


@sidewinder.tool
async def weigh(body: bytes) -> bytes:
    """The number of bytes, as text."""
    return str(len(body)).encode()
