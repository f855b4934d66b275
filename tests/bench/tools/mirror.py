"""Gives back what comes: the least that a process of Python behind a socket does. It ends with its server."""

from __future__ import annotations

import contextlib
import socket

link = socket.socket(fileno=0)
buffer = bytearray(256 * 1024)
view = memoryview(buffer)
with contextlib.suppress(ConnectionError):
    while size := link.recv_into(buffer):
        link.sendall(view[:size])
