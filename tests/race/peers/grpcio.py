"""A plain grpcio server: what many write first."""

from __future__ import annotations

from pathlib import Path

from peers.peer import SERVED, Order, Peer, python


class Grpcio(Peer):
    """Workers are threads of one process."""

    name = "grpcio"
    package = "grpcio"
    speaks = "grpc"
    note = "one process, its workers are threads: the server is its own manager and worker"
    has_workers = False

    def command(self, order: Order, nest: Path, port: int) -> list[str]:  # noqa: ARG002
        """The app says the rest."""
        return python(str(SERVED / "grpcio_app.py"))
