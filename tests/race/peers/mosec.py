"""mosec, whose HTTP and queue are Rust."""

from __future__ import annotations

from pathlib import Path

from peers.peer import SERVED, Order, Peer, python


class Mosec(Peer):
    """It has no reload."""

    name = "mosec"
    package = "mosec"
    path = "/inference"
    note = "one stage; has no reload"
    crowd_max = 10

    def command(self, order: Order, nest: Path, port: int) -> list[str]:  # noqa: ARG002
        """Its own timeout is out of the way."""
        words = [str(SERVED / "mosec_app.py"), "--address", "127.0.0.1", "--port", str(port)]
        return python(*words, "--timeout", "60000", "--path", str(nest / "mosec"), "--log-level", "error")
