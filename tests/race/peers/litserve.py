"""LitServe, on uvicorn and queues of multiprocessing."""

from __future__ import annotations

from pathlib import Path

from peers.peer import SERVED, Order, Peer, python


class LitServe(Peer):
    """It has no reload."""

    name = "LitServe"
    package = "litserve"
    path = "/predict"
    json = True
    note = "the body is the text of a JSON field, it takes no bytes; has no reload"
    heavy = True
    crowd_max = 10

    def command(self, order: Order, nest: Path, port: int) -> list[str]:  # noqa: ARG002
        """The app says the rest."""
        return python(str(SERVED / "litserve_app.py"))
