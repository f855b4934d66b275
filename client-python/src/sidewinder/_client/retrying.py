"""Whether a call is tried again, and when. Pure: the clock and the dice are given.

Only what never reached a tool is tried again, and only where the daemon says that trying again soon is
sensible: the metadata say ran=no and there is a `RetryInfo`. A `Failure` never is, whatever else it says.
"""

from __future__ import annotations

from .errors import Error

ATTEMPTS_MORE = 4
"""How often a refused call is tried again, unless the caller says otherwise."""

PAUSE_MIN = 0.01
"""Seconds between two tries, at least: a daemon that says "at once" is not hammered."""

PAUSE_MAX = 5.0
"""Seconds between two tries, at most."""


def may_retry(error: Error) -> bool:
    return error.retry_after is not None and error.metadata.get("ran") == "no"


def pause(error: Error, tried: int, allowed: int, left: float | None, dice: float) -> float | None:
    """Seconds to wait before the next try, or None: this error is the answer.

    `tried` counts the tries again before this one, `left` is what the deadline leaves, `dice` is in [0, 1).
    Each pause is twice the one before, and up to half of it again at random, so that callers who were
    refused together do not come back together.
    """
    if not may_retry(error) or tried >= allowed:
        return None
    asked = max(error.retry_after or 0.0, PAUSE_MIN)
    wait = min(asked * 2.0**tried, PAUSE_MAX) * (1 + dice / 2)
    if left is not None and wait >= left:
        return None
    return wait
