"""gunicorn with its sync workers."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from peers.peer import SERVED, Order, Peer, python

if TYPE_CHECKING:
    from standing import Standing


class Gunicorn(Peer):
    """An arbiter that forks."""

    name = "gunicorn"
    package = "gunicorn"
    note = "sync workers; HUP to reload; `--preload` where it loads once; `--timeout` against a wedge"
    loads_once = True
    patient = True
    reloads = True

    def command(self, order: Order, nest: Path, port: int) -> list[str]:
        """Without an access log."""
        words = ["-m", "gunicorn", "--workers", str(order.workers), "--bind", f"127.0.0.1:{port}"]
        words += ["--config", str(SERVED / "gunicorn_hooks.py"), "--log-level", "error"]
        words += ["--timeout", f"{order.patience or 60:.0f}", "--worker-tmp-dir", str(nest)]
        return python(*words, *(["--preload"] if order.once else []), "wsgi:application")

    def environment(self, order: Order, nest: Path) -> dict[str, str]:  # noqa: ARG002
        """Its hook says when a worker is ready."""
        return {"RACE_READY": "hook"}

    def reload(self, standing: Standing) -> None:
        """As its documents say."""
        os.kill(standing.process.pid, signal.SIGHUP)
