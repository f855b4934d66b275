"""A fork server that never forks: a hook of it does not come back."""

import time

import sidewinder


@sidewinder.tool
def nothing() -> None:
    """Does nothing."""


@sidewinder.before_fork
def hang() -> None:
    time.sleep(1000)
