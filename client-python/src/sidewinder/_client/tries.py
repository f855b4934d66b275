"""The tries of one call: one deadline and one count for all of them, whoever does the waiting."""

from __future__ import annotations

import random
import time
from typing import Any

from .errors import Error
from .retrying import pause
from .speaking import statuses


class Tries:
    """What is left of the deadline and of the tries of one call."""

    def __init__(self, timeout: float | None, allowed: int, target: str) -> None:
        self._until = None if timeout is None else time.monotonic() + timeout
        self._allowed = allowed
        self._target = target
        self._tried = 0

    def left(self) -> float | None:
        """Seconds until the deadline, which gRPC sends along."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())

    def spend(self) -> None:
        """Something has come of the call: it cannot be tried again."""
        self._allowed = 0

    def error(self, status: Any) -> Error:
        """The exception for a status."""
        return statuses.of(status.code(), status.details(), status.trailing_metadata(), self._target)

    def wait_after(self, status: Any) -> float:
        """Seconds until the next try. Raises when this status is the answer."""
        error = self.error(status)
        wait = pause(error, self._tried, self._allowed, self.left(), random.random())
        if wait is None:
            raise error from None
        self._tried += 1
        return wait
