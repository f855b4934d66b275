"""The work behind mosec."""

from __future__ import annotations

import os

import mosec  # type: ignore[import-not-found]
import work


class Work(mosec.Worker):  # type: ignore[misc]
    """Bytes as they are."""

    def __init__(self) -> None:
        super().__init__()
        work.boot()
        work.ready()

    def deserialize(self, data: bytes) -> bytes:
        """Nothing to read."""
        return data

    def serialize(self, data: bytes) -> bytes:
        """Nothing to write."""
        return data

    def forward(self, data: bytes) -> bytes:
        """One request."""
        return work.answer(data)


if __name__ == "__main__":
    server = mosec.Server()
    server.append_worker(Work, num=int(os.environ["RACE_WORKERS"]))
    server.run()
