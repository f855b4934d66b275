"""Sync tools: one of each kind, with plain arguments."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import sidewinder


@sidewinder.tool
def echo(body: Any) -> Any:
    return body


@sidewinder.tool
def add(a: int, b: int = 1) -> int:
    """Adds."""
    return a + b


@sidewinder.tool(name="named")
def other(*, key: str) -> str:
    return key


@sidewinder.tool
def placed(a: int, b: int = 2, /, c: int = 3, *rest: int) -> list[int]:
    return [a, b, c, *rest]


@sidewinder.tool
def options(first: int, **more: int) -> dict[str, int]:
    return {"first": first, **more}


@sidewinder.tool
def count(to: int) -> Iterator[int]:
    yield from range(to)


@sidewinder.tool
def fails_midway(after: int) -> Iterator[int]:
    yield from range(after)
    raise LookupError("no more")


@sidewinder.tool
def chunks(body: bytes) -> Iterator[bytes]:
    for byte in body:
        yield bytes((byte,)) * 2


@sidewinder.tool
def returns_iterator(words: list[str]) -> Any:
    return map(str.upper, words)


@sidewinder.tool
def about(ctx: sidewinder.Context) -> dict[str, Any]:
    return {
        "call": ctx.call,
        "remaining": ctx.remaining(),
        "metadata": ctx.metadata,
        "traceparent": ctx.traceparent,
        "attempt": ctx.attempt,
        "client": ctx.client,
        "same": sidewinder.current().call == ctx.call,
    }


@sidewinder.tool
def says(ctx, times: int = 1) -> None:  # type: ignore[no-untyped-def]
    for _ in range(times):
        ctx.log("hello", level="warning")
        ctx.progress({"half": 0.5})
        ctx.heartbeat()


@sidewinder.tool
def totals(ctx: sidewinder.Context) -> Iterator[int]:
    total = 0
    for item in ctx.inputs:
        total += int(item)  # type: ignore[call-overload]
        yield total


@sidewinder.tool
def first_input(ctx: sidewinder.Context) -> object:
    return next(iter(ctx.inputs))


@sidewinder.tool
def spin(ctx: sidewinder.Context) -> None:
    """Keeps the interpreter busy until it is cancelled."""
    ctx.log("spinning")
    while True:
        pass


@sidewinder.tool
def stubborn(ctx: sidewinder.Context) -> str:
    """Goes on when it is cancelled for the first time."""
    try:
        ctx.log("spinning")
        while True:
            pass
    except sidewinder.Cancelled:
        return "went on"


@sidewinder.tool
def sleeps(ctx: sidewinder.Context) -> None:
    """Waits in the kernel, where only a signal reaches it."""
    ctx.log("sleeping")
    time.sleep(3600)


@sidewinder.tool
def waits_for_a_lock(ctx: sidewinder.Context) -> None:
    lock = threading.Lock()
    lock.acquire()
    ctx.log("waiting")
    lock.acquire()


@sidewinder.tool
def reads(ctx: sidewinder.Context) -> None:
    here, there = os.pipe()
    try:
        ctx.log("reading")
        os.read(here, 1)
    finally:
        os.close(here)
        os.close(there)


@sidewinder.tool
def cleans_up_slowly(ctx: sidewinder.Context) -> None:
    """Meets a cancel while it waits, and waits once more before it goes."""
    try:
        ctx.log("waiting")
        time.sleep(3600)
    finally:
        time.sleep(0.02)
        ctx.log("cleaned up")


@sidewinder.tool
def polls(ctx: sidewinder.Context) -> None:
    ctx.log("polling")
    gate = threading.Event()
    while True:
        gate.wait(0.001)
        ctx.check()


@sidewinder.tool
def cleans_up(ctx: sidewinder.Context) -> Iterator[int]:
    try:
        yield 1
        yield 2
    finally:
        ctx.log("cleaned up")


@sidewinder.tool
def prints(text: str = "printed") -> None:
    print(text, end="")
    print("to stderr", file=sys.stderr)


@sidewinder.tool
def closes_streams() -> None:
    sys.stdout.close()
    os.close(1)


@sidewinder.tool
def reads_stdin() -> str:
    return sys.stdin.read()


@sidewinder.tool
def forks() -> int:
    """A child that is ended as any other, and whose end does not end the worker's sockets."""
    child = os.fork()
    if child == 0:
        signal_wait()
    os.kill(child, 15)
    return os.waitpid(child, 0)[1]


@sidewinder.tool
def forks_with_handler() -> int:
    """A child with a handler of its own: its signals are nobody else's."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(3))
        os.write(write, b"!")
        signal_wait()
    os.read(read, 1)
    os.kill(child, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def signal_wait() -> None:
    """Not in one long sleep: a signal that comes just before it is handled after it."""
    while True:
        time.sleep(0.01)


@sidewinder.tool
def big(size: int) -> str:
    return "x" * size


@sidewinder.tool
def dies(how: int) -> None:
    os._exit(how)


@sidewinder.teardown
def last() -> None:
    print("torn down last")


@sidewinder.teardown
def first() -> None:
    print("torn down first")
