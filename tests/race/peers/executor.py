"""ProcessPoolExecutor: the standard library."""

from __future__ import annotations

import platform
from pathlib import Path

from peers.peer import SERVED, Order, Peer, python


class Executor(Peer):
    """Its manager is the program that calls."""

    name = "executor"
    speaks = "host"
    note = "`ProcessPoolExecutor`, called by Python threads of the program that has it: no server, no socket"
    loads_once = True

    def version(self) -> str:
        """That of Python."""
        return platform.python_version()

    def command(self, order: Order, nest: Path, port: int) -> list[str]:  # noqa: ARG002
        """The app says the rest."""
        return python(str(SERVED / "executor_app.py"))
