"""Tools that have a use for the signal by which others are brought back from the kernel."""

from __future__ import annotations

import signal
import time

import sidewinder

HEARD: list[int] = []
signal.signal(signal.SIGURG, lambda number, _: HEARD.append(number))


@sidewinder.tool
def heard() -> int:
    """How often somebody said that it is urgent."""
    return len(HEARD)


@sidewinder.tool
def tidies_up(ctx: sidewinder.Context) -> None:
    """Meets a cancel at once, and takes its time to go."""
    try:
        ctx.log("spinning")
        while True:
            pass
    finally:
        time.sleep(0.1)
