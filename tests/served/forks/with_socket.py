"""Importing this leaves a connection open: it must not be forked."""

import socket

import sidewinder

PAIR = socket.socketpair()


@sidewinder.tool
def nothing() -> int:
    """Is served all the same."""
    return 1
