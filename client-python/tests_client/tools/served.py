"""Tools that the client's tests call. What a test has to know afterwards is counted in files."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import sidewinder


@sidewinder.tool
def add(a: int, b: int = 2) -> int:
    """Adds."""
    return a + b


@sidewinder.tool
def wait(timeout: float, pool: str = "") -> str:
    """Waits. Its parameters have the names of options."""
    time.sleep(timeout)
    return f"waited in {pool}"


@sidewinder.tool
def mark(file: str, seconds: float = 0.0) -> str:
    """Counts that it ran, by a byte in a file, and rests."""
    with Path(file).open("a") as counted:
        counted.write("x")
    time.sleep(seconds)
    return "rested"


@sidewinder.tool
def until_cancelled(file: str) -> None:
    """Says that it runs, and later that it was cancelled."""
    try:
        Path(file).write_text("runs")
        time.sleep(1000)
    except sidewinder.Cancelled:
        Path(file).write_text("cancelled")
        raise


@sidewinder.tool
def count(until: int) -> Iterator[int]:
    """Counts."""
    yield from range(until)


@sidewinder.tool
def lines(until: int, size: int) -> Iterator[str]:
    """Counts, in so many digits."""
    for number in range(until):
        yield str(number).zfill(size)


@sidewinder.tool
def blocks(size: int, note: str) -> Iterator[bytes]:
    """Yields so many bytes for ever, and notes each by a byte in a file."""
    while True:
        with Path(note).open("a") as noted:
            noted.write("x")
        yield bytes(size)


@sidewinder.tool
def stumble(after: int) -> Iterator[int]:
    """Raises after so many items."""
    yield from range(after)
    raise LookupError("no more")


@sidewinder.tool
def total(ctx: sidewinder.Context, start: int = 0) -> int:
    """Adds up its inputs."""
    return start + sum(int(str(value)) for value in ctx.inputs)


@sidewinder.tool
def join(ctx: sidewinder.Context) -> bytes:
    """One after the other."""
    return b"".join(value for value in ctx.inputs if isinstance(value, bytes))


@sidewinder.tool
def double(ctx: sidewinder.Context) -> Iterator[int]:
    """Twice what it is given."""
    for value in ctx.inputs:
        yield 2 * int(str(value))


@sidewinder.tool
def take(ctx: sidewinder.Context, note: str) -> None:
    """Takes its inputs slowly, and notes each by a byte in a file."""
    for _ in ctx.inputs:
        with Path(note).open("a") as noted:
            noted.write("x")
        time.sleep(0.05)


@sidewinder.tool
def echo(value: object) -> object:
    """What it was given."""
    return value


@sidewinder.tool
def reverse(body: bytes) -> bytes:
    """Backwards."""
    return body[::-1]


@sidewinder.tool
def zeros(size: int) -> bytes:
    """So many bytes."""
    return bytes(size)


@sidewinder.tool
def who() -> int:
    """The process that runs this."""
    return os.getpid()


@sidewinder.tool
def surroundings(ctx: sidewinder.Context) -> dict[str, object]:
    """What came along with the call."""
    return {
        "metadata": dict(ctx.metadata),
        "traceparent": ctx.traceparent,
        "remaining": ctx.remaining(),
    }


@sidewinder.tool
def fail(message: str, note: str = "") -> None:
    """Raises."""
    error = ValueError(message)
    if note:
        error.__notes__ = [note]  # type: ignore[attr-defined]
    raise error


@sidewinder.tool
def leave(status: int, file: str = "") -> None:
    """Ends the process, after a word."""
    if file:
        with Path(file).open("a") as counted:
            counted.write("x")
    print("about to leave", file=sys.stderr, flush=True)
    os._exit(status)


@sidewinder.tool
def kill(signal: int) -> None:
    """Kills the process."""
    os.kill(os.getpid(), signal)
    time.sleep(10)


@sidewinder.tool
def ask(address: str, a: int) -> int:
    """Calls another tool through the client."""
    with sidewinder.Client(address) as client:
        return int(client.call("add", {"a": a}))
