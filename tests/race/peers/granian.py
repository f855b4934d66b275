"""granian, whose HTTP is Rust."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from peers.peer import Order, Peer, python

if TYPE_CHECKING:
    from standing import Standing


class Granian(Peer):
    """One Python thread in each worker, as everybody here has."""

    name = "granian"
    package = "granian"
    note = "WSGI, one blocking thread a worker, `--respawn-failed-workers`; HUP to reload"
    reloads = True

    def command(self, order: Order, nest: Path, port: int) -> list[str]:  # noqa: ARG002
        """Without an access log."""
        words = ["-m", "granian", "--interface", "wsgi", "--workers", str(order.workers)]
        words += ["--blocking-threads", "1", "--host", "127.0.0.1", "--port", str(port)]
        return python(*words, "--respawn-failed-workers", "--log-level", "error", "wsgi:application")

    def environment(self, order: Order, nest: Path) -> dict[str, str]:  # noqa: ARG002
        """A worker is ready when it has the app."""
        return {"RACE_READY": "import"}

    def reload(self, standing: Standing) -> None:
        """As its documents say."""
        os.kill(standing.process.pid, signal.SIGHUP)
