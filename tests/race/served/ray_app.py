"""The work in actors of Ray, called in turn by the program that started it."""

from __future__ import annotations

import itertools
import os
from typing import Any

import host
import ray  # type: ignore[import-not-found]
import work


class Actor:
    """One worker."""

    def __init__(self) -> None:
        work.boot()
        work.ready()

    def answer(self, body: bytes) -> bytes:
        """One call."""
        return work.answer(body)


class Pending:
    """A call of an actor."""

    def __init__(self, reference: Any) -> None:
        self.reference = reference

    def result(self) -> bytes:
        """Waits for the answer."""
        said: bytes = ray.get(self.reference)
        return said

    def cancel(self) -> None:
        """Wants it no more."""
        ray.cancel(self.reference)


def main() -> None:
    """Serves until nobody asks any more."""
    workers = int(os.environ["RACE_WORKERS"])
    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, configure_logging=False)
    remote = ray.remote(num_cpus=1, max_restarts=-1)(Actor)
    actors = itertools.cycle([remote.remote() for _ in range(workers)])
    host.Host(lambda body: Pending(next(actors).answer.remote(body))).serve()
    ray.shutdown()


if __name__ == "__main__":
    main()
