"""Tools that say a lot, or say it by their context."""

from __future__ import annotations

import sys

import sidewinder


@sidewinder.tool
def flood(lines: int) -> int:
    """Prints, and prints, and prints."""
    line = "x" * 99 + "\n"
    for _ in range(lines // 1000):
        sys.stdout.write(line * 1000)
    sys.stdout.flush()
    return lines


@sidewinder.tool
def note(ctx: sidewinder.Context) -> None:
    """Says something in every way there is."""
    ctx.log("a whisper", "debug")
    ctx.log("a note")
    ctx.log("a warning", "warning")
    print("a line", flush=True)
    print("a complaint", file=sys.stderr, flush=True)


@sidewinder.tool
def sign(ctx: sidewinder.Context) -> None:
    """Prints which call it is, to both streams."""
    print(f"signed {ctx.call}")
    print(f"signed {ctx.call}", file=sys.stderr)
