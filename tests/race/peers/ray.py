"""Ray's actors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from peers.peer import SERVED, Order, Peer, python

if TYPE_CHECKING:
    from standing import Standing


class Ray(Peer):
    """A cluster of one machine."""

    name = "Ray"
    package = "ray"
    speaks = "host"
    note = "actors, called by Python threads of the driver; its manager is the raylet; no reload of an actor"
    heavy = True
    sluggish = True
    crowd_max = 10

    def command(self, order: Order, nest: Path, port: int) -> list[str]:  # noqa: ARG002
        """The app says the rest."""
        return python(str(SERVED / "ray_app.py"))

    def environment(self, order: Order, nest: Path) -> dict[str, str]:  # noqa: ARG002
        """It tells nobody what it does, and asks nobody."""
        return {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}

    def manager(self, standing: Standing) -> int:
        """Who starts workers and buries them."""
        return next(one.pid for one in standing.members() if one.name() == "raylet")
