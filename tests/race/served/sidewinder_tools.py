"""The work behind Sidewinder."""

from __future__ import annotations

import sidewinder
import work

work.boot()


@sidewinder.setup
def ready() -> None:
    """Once in each worker, also in one that was forked."""
    work.ready()


@sidewinder.tool
def answer(body: bytes) -> bytes:
    """One call."""
    return work.answer(body)
