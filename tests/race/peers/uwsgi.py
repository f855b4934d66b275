"""uWSGI, speaking HTTP without its router."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from peers.peer import Order, Peer, program

if TYPE_CHECKING:
    from standing import Standing


class Uwsgi(Peer):
    """A master that forks."""

    name = "uWSGI"
    package = "uwsgi"
    note = "`--http-socket`, `--lazy-apps` unless it loads once; chain reload; `--harakiri` against a wedge"
    loads_once = True
    patient = True
    reloads = True

    def command(self, order: Order, nest: Path, port: int) -> list[str]:
        """Large bodies are kept in memory, as everybody does."""
        words = [program("uwsgi"), "--http-socket", f"127.0.0.1:{port}", "--master", "--need-app"]
        words += ["--processes", str(order.workers), "--module", "wsgi:application", "--disable-logging"]
        words += ["--die-on-term", "--listen", "100", "--touch-chain-reload", str(nest / "version")]
        words += ["--http-timeout", "60", "--socket-timeout", "60", "--buffer-size", "65535"]
        # It closes after each answer, and would not say so.
        words += ["--add-header", "Connection: close"]
        words += ["--harakiri", f"{order.patience:.0f}"] if order.patience else []
        return words if order.once else [*words, "--lazy-apps"]

    def environment(self, order: Order, nest: Path) -> dict[str, str]:  # noqa: ARG002
        """Forked from one that has the app, a hook runs in each worker."""
        return {"RACE_READY": "uwsgi" if order.once else "import"}

    def reload(self, standing: Standing) -> None:
        """It watches the file of the version, by whole seconds: what is new has to be a second newer."""
        later = time.time() + 2.0
        os.utime(standing.nest / "version", (later, later))
