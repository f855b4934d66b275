"""What an adapter says of its peer. What is measured, and how, is the same for all and stands elsewhere."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from standing import Standing

SERVED = Path(__file__).resolve().parent.parent / "served"


@dataclass(frozen=True)
class Order:
    """How a peer is wanted."""

    workers: int
    # A module that the app imports when it starts.
    imports: str = ""
    # Load the app once, and fork the workers from that.
    once: bool = False
    # Seconds after which a worker that does not answer is to be replaced, for peers that can.
    patience: float = 0.0
    # Every worker ends while it starts.
    dies: bool = False


def told(order: Order, nest: Path) -> dict[str, str]:
    """What every app of the race finds in its environment."""
    said = {"RACE_NEST": str(nest), "RACE_MARK": nest.name, "RACE_WORKERS": str(order.workers)}
    said |= {"RACE_IMPORT": order.imports} if order.imports else {}
    said |= {"RACE_DIES": "1"} if order.dies else {}
    return said | ({"RACE_ONCE": "1"} if order.once else {})


class Peer:
    """The settings are the best that the peer has for the question at hand; `note` tells them."""

    name = ""
    package = ""
    speaks = "http"
    path = "/"
    json = False
    note = ""
    # It can load the app once and fork its workers.
    loads_once = False
    # It can replace a worker that does not answer.
    patient = False
    # One worker takes seconds of a processor to start: of the starts only those of a few, and of a bare app.
    heavy = False
    # It takes so long to start that nobody who is in a hurry waits for it.
    sluggish = False
    # Workers of it that two processors can start.
    crowd_max = 100
    # It can be told to take a new version of the app.
    reloads = False
    # Other processes than that of the server run the work.
    has_workers = True

    def version(self) -> str:
        """Which release; raises if it is not there."""
        return metadata.version(self.package)

    def command(self, order: Order, nest: Path, port: int) -> list[str]:
        """How it is started."""
        raise NotImplementedError

    def environment(self, order: Order, nest: Path) -> dict[str, str]:  # noqa: ARG002
        """What its app needs to know beside the order."""
        return {}

    def manager(self, standing: Standing) -> int:
        """The process that has the workers."""
        return standing.process.pid

    def reload(self, standing: Standing) -> None:
        """Tells it that there is a new version."""
        raise NotImplementedError


def python(*words: str) -> list[str]:
    """This Python, which has the peers."""
    return [sys.executable, *words]


def program(name: str) -> str:
    """A program that came with this Python's packages."""
    return str(Path(sys.executable).parent / name)
