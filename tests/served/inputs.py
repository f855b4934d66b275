"""Tools that take inputs: those who take all, those who take few, those who take none."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sidewinder


def wait_for(path: str) -> None:
    """Until there is such a file."""
    while not Path(path).exists():
        time.sleep(0.005)


@sidewinder.tool
def total(ctx: sidewinder.Context, done: str = "") -> int:
    """The sum of the inputs; leaves a note when it has seen their end."""
    numbers: list[Any] = list(ctx.inputs)
    if done:
        Path(done).write_text("done")
    return sum(numbers)


@sidewinder.tool
def weigh(ctx: sidewinder.Context) -> bytes:
    """The number of bytes of all inputs, as text."""
    return str(sum(len(item) for item in ctx.inputs if isinstance(item, bytes))).encode()


@sidewinder.tool
def first(ctx: sidewinder.Context, count: int) -> list[object]:
    """The first inputs, and no more."""
    inputs = iter(ctx.inputs)
    return [next(inputs) for _ in range(count)]


@sidewinder.tool
def dawdle(ctx: sidewinder.Context, gate: str) -> int:
    """Takes one input, waits for a file, and takes the rest."""
    inputs = iter(ctx.inputs)
    next(inputs)
    wait_for(gate)
    return 1 + sum(1 for _ in inputs)


@sidewinder.tool
def uninterested(ctx: sidewinder.Context) -> str:
    """Has a context, and never looks."""
    return f"call {ctx.call} is not interested"


@sidewinder.tool
def doubled(ctx: sidewinder.Context, note: str = "") -> Iterator[object]:
    """Each input twice as large; notes how many it took."""
    for number, item in enumerate(ctx.inputs, 1):
        if note:
            Path(note).write_text(str(number))
        yield item * 2  # type: ignore[operator]


@sidewinder.tool
def plain(number: int = 0) -> int:
    """Takes no inputs."""
    return number
