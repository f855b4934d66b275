"""Importing this leaves an event loop: it must not be forked."""

import select

import sidewinder

LOOP = select.epoll()


@sidewinder.tool
def nothing() -> int:
    """Is served all the same."""
    return 1
