"""A program that has its workers inside of itself, and is asked over standard input: for peers that have no
socket.

One line of JSON asks, one line answers, by number; calls run side by side, a thread each. The load is made
in here, in Python, as those who use such a peer would make it.
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol


class Pending(Protocol):
    """A call that somebody works at."""

    def result(self) -> bytes:
        """Waits for the answer."""

    def cancel(self) -> object:
        """Wants it no more."""


Submit = Callable[[bytes], Pending]


class Host:
    """Reads questions, and answers each from a thread of its own."""

    def __init__(self, submit: Submit) -> None:
        self.submit = submit
        self.lock = threading.Lock()
        self.calls: dict[int, Pending] = {}

    def serve(self) -> None:
        """Until nobody asks any more."""
        for line in sys.stdin:
            asked = json.loads(line)
            if asked["do"] == "cancel":
                with contextlib.suppress(Exception):
                    self.calls[asked["call"]].cancel()
                continue
            threading.Thread(target=self.reply, args=(asked,), daemon=True).start()

    def reply(self, asked: dict[str, Any]) -> None:
        """One answer."""
        try:
            said = self.load(asked) if asked["do"] == "load" else self.call(asked)
        except Exception as error:
            said = {"error": f"{type(error).__name__}: {error}"}
        with self.lock:
            print(json.dumps({"id": asked["id"], **said}), flush=True)

    def call(self, asked: dict[str, Any]) -> dict[str, Any]:
        """One call."""
        pending = self.calls[asked["id"]] = self.submit(asked["body"].encode())
        return {"body": pending.result().decode()}

    def load(self, asked: dict[str, Any]) -> dict[str, Any]:
        """So many callers at once for so long."""
        body = b"e" * asked["bytes"]
        took: list[float] = []
        failed: list[str] = []
        begun = time.perf_counter()

        def caller() -> None:
            while not failed and (not took or time.perf_counter() - begun < asked["seconds"]):
                at = time.perf_counter()
                try:
                    right = len(self.submit(body).result()) == len(body)
                except Exception as error:
                    failed.append(f"{type(error).__name__}: {error}")
                    return
                took.append(time.perf_counter() - at)
                if not right:
                    failed.append("another body came back")

        threads = [threading.Thread(target=caller) for _ in range(asked["callers"])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        span = time.perf_counter() - begun
        took.sort()
        middle = took[len(took) // 2] * 1e6 if took else 0.0
        return {
            "calls": len(took),
            "seconds": span,
            "p50_us": middle,
            "errors": len(failed),
            "error": (failed or [""])[0],
        }
