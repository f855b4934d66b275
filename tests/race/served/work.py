"""The work of the race: one function from bytes to bytes, the same behind every peer.

The first byte says what is wanted: ``e`` is an echo of the whole body, ``n`` a nap of so many seconds,
``p`` asks for the process, ``v`` for the version of the app. What happens is told by marks in files of the
race's nest, because the peers have no word in common for it: each mark is one byte at the end of a file, so
several processes may write.
"""

from __future__ import annotations

import importlib
import os
import time
from pathlib import Path

NEST = Path(os.environ["RACE_NEST"])
state = {"version": ""}


def mark(name: str) -> None:
    """One byte more in that file."""
    with open(NEST / name, "ab", buffering=0) as file:
        file.write(b".")


def boot() -> None:
    """What an app does before it can serve: imports, and as much time as the version of the app wants."""
    mark("spawned")
    if os.environ.get("RACE_DIES"):
        os._exit(1)
    if os.environ.get("RACE_IMPORT"):
        importlib.import_module(os.environ["RACE_IMPORT"])
    state["version"], pause = (NEST / "version").read_text().split()
    time.sleep(float(pause))


def ready() -> None:
    """This worker could serve now."""
    mark("ready")


def answer(body: bytes) -> bytes:
    """Does what the first byte says."""
    kind, rest = body[:1], body[1:64]
    if kind == b"e":
        return body
    if kind == b"n":
        mark("napping")
        time.sleep(float(rest))
        return b"done"
    if kind == b"p":
        return str(os.getpid()).encode()
    if kind == b"v":
        return state["version"].encode()
    raise ValueError(f"no such work: {kind!r}")
