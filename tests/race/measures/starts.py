"""Starts: from that of the server to the first answer with all workers there; and what they weigh then."""

from __future__ import annotations

from dataclasses import dataclass

from peers.peer import Order, Peer
from standing import Standing

# Whoever needs longer for it has a row that says so.
LIMIT_S = 20.0


@dataclass(frozen=True)
class Start:
    """One kind of start."""

    workers: int
    imports: str = ""
    once: bool = False

    def title(self) -> str:
        """As in the table."""
        return f"{self.crowd()}: all ready"

    def crowd(self) -> str:
        """Who is started."""
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        imports = " with NumPy" if self.imports else ""
        return workers + imports + (", loaded once" if self.once else "")

    def fits(self, peer: Peer) -> bool:
        """Whether that peer can, and leaves the machine alive."""
        if self.workers > peer.crowd_max or (self.imports and peer.heavy):
            return False
        return peer.loads_once or not self.once


STARTS = tuple(
    Start(workers, imports, once)
    for imports, once in (("", False), ("numpy", False), ("numpy", True))
    for workers in (1, 10, 100)
    if not (once and workers == 1)
)


def start(peer: Peer, wanted: Start) -> tuple[float, float]:
    """The seconds that it takes, and the bytes of its whole tree."""
    with Standing(peer, Order(wanted.workers, wanted.imports, wanted.once)) as standing:
        seconds = standing.until_serving(LIMIT_S)
        return seconds, 1024.0 * sum(member.kibibytes() for member in standing.members())
