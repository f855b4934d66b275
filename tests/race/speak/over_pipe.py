"""Calls in the program that has the workers: one line of JSON asks, one answers (served/host.py)."""

from __future__ import annotations

import json
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from subprocess import Popen
from typing import Any

from speak.caller import CallFailedError


class PipeCaller:
    """Has the standard input and output of that program."""

    def __init__(self, process: Popen[bytes]) -> None:
        self.process = process
        self.lock = threading.Lock()
        self.waiting: dict[int, Future[dict[str, Any]]] = {}
        self.last = 0
        threading.Thread(target=self.read, daemon=True).start()

    def read(self) -> None:
        """Until that program is gone."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            # A library may print something of its own.
            if line.startswith(b"{"):
                said = json.loads(line)
                self.waiting.pop(said["id"]).set_result(said)
        with self.lock:
            left, self.waiting = self.waiting, {}
        for waiting in left.values():
            waiting.set_result({"error": "its program is gone"})

    def ask(self, question: dict[str, object]) -> tuple[int, Future[dict[str, Any]]]:
        """One line; the answer comes."""
        answer: Future[dict[str, Any]] = Future()
        with self.lock:
            self.last += 1
            self.waiting[self.last] = answer
            self.write({"id": self.last, **question})
            return self.last, answer

    def write(self, question: dict[str, object]) -> None:
        """As one line."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(question).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise CallFailedError("its program is gone") from error

    def begin(self, body: bytes) -> PipeCall:
        """Asks."""
        number, answer = self.ask({"do": "call", "body": body.decode()})
        return PipeCall(self, number, answer)

    def close(self) -> None:
        """The pipes end with the program."""


@dataclass
class PipeCall:
    """One call that has begun."""

    caller: PipeCaller
    number: int
    future: Future[dict[str, Any]]

    def answer(self, seconds: float) -> bytes:
        """Waits for it."""
        try:
            said = self.future.result(timeout=seconds)
        except TimeoutError as error:
            raise CallFailedError("nothing") from error
        if "error" in said:
            raise CallFailedError(str(said["error"]).partition("\n")[0].partition(":")[0])
        return str(said["body"]).encode()

    def hang_up(self) -> None:
        """Cancels the call, if it still runs."""
        if not self.future.done():
            with self.caller.lock:
                self.caller.write({"do": "cancel", "call": self.number})
