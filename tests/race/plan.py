"""How much is measured: the whole in minutes, or all of it once, so that a test sees that every row comes."""

from __future__ import annotations

from dataclasses import dataclass

from measures.echo import ECHOES, Echo
from measures.starts import STARTS, Start


@dataclass(frozen=True)
class Plan:
    """Durations are in seconds."""

    echoes: tuple[Echo, ...]
    # Times a peer and Sidewinder take turns.
    rounds: int
    # Of one load.
    span: float
    starts: tuple[Start, ...]
    # The call that something happens to.
    nap: float
    # After which a caller that got nothing, or a worker that is not back, is given up.
    limit: float
    # The start of the new version of an app.
    slow: float
    # How long after its first start a broken app is looked at.
    crash: float
    # Sidewinder's is looked at once more, when the others have raced.
    crash_own: float


FULL = Plan(ECHOES, 2, 0.35, STARTS, 3.0, 6.0, 5.0, 6.0, 60.0)
QUICK = Plan(
    tuple(echo for echo in ECHOES if echo.size < 10**7 and echo.callers < 64),
    1,
    0.1,
    tuple(start for start in STARTS if start.workers < 10 or (start.workers == 10 and start.once)),
    1.0,
    3.0,
    1.0,
    2.0,
    0.0,
)
