"""The work in a ProcessPoolExecutor, as Python's standard library brings it."""

from __future__ import annotations

import os
from concurrent.futures import Future, ProcessPoolExecutor

import host
import work


def begin() -> None:
    """Once in each worker."""
    if not os.environ.get("RACE_ONCE"):
        work.boot()
    work.ready()


def main() -> None:
    """Serves until nobody asks any more."""
    if os.environ.get("RACE_ONCE"):
        work.boot()
    workers = int(os.environ["RACE_WORKERS"])
    pool = ProcessPoolExecutor(workers, initializer=begin)

    def submit(body: bytes) -> Future[bytes]:
        return pool.submit(work.answer, body)

    # It starts a worker when there is something to do for it.
    for _ in range(workers):
        submit(b"v")
    host.Host(submit).serve()
    pool.shutdown(wait=False, cancel_futures=True)


if __name__ == "__main__":
    main()
