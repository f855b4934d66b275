"""The two sockets to the daemon: whole frames in and out, nothing decided.

Reading the calls socket belongs to the main thread, reading the control socket to the control thread. Anybody
may write: a frame is one datagram, so writers never mix.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterable
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import NoReturn

from ._frames import MAX_FRAME, Frame, ProtocolError, UnknownFieldError, decode, encode, head
from ._leaving import broken, owner_gone
from ._pieces import MAX_MESSAGE, ROOM, Datagram, Joiner, cut

# Up to this size a copy of a frame costs less than views of its parts.
_SMALL = 4096
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.EBADF, errno.ENOTCONN)


class Link:
    """One socket. End-of-file and nonsense end the process: without the daemon there is no life."""

    def __init__(self, descriptor: int) -> None:
        self.socket = socket.socket(fileno=descriptor)
        if self.socket.type != socket.SOCK_SEQPACKET:
            raise OSError(f"descriptor {descriptor} is no SOCK_SEQPACKET socket")
        self.socket.setblocking(True)
        self.socket.set_inheritable(False)
        # One byte more than a frame, so that a larger one is noticed; kept, because a new one costs more than
        # a read.
        # Mapped, because most frames are small, and only pages that were written to take memory.
        self._buffer = mmap(-1, MAX_FRAME + 1, MAP_PRIVATE | MAP_ANONYMOUS)
        self._view = memoryview(self._buffer)
        self._joiner = Joiner()
        self.max_message = MAX_MESSAGE

    def take_over(self, descriptor: int) -> None:
        """From here on this is another socket, which has been put in the place of the first, or elsewhere."""
        if descriptor != self.socket.fileno():
            self.socket.detach()
            self.socket = socket.socket(fileno=descriptor)
            self.socket.set_inheritable(False)
        self.socket.setblocking(True)

    def bound(self, max_message: int) -> None:
        self.max_message = self._joiner.max_message = max_message or MAX_MESSAGE

    def receive(self, flags: int = 0) -> Frame | None:
        """The next whole message, or None when this datagram did not complete one. Raises only
        `UnknownFieldError`, and with MSG_DONTWAIT BlockingIOError when there is nothing to read."""
        try:
            size = self.socket.recv_into(self._buffer, 0, flags)
            if not size:
                owner_gone()
            return self._joiner.take(decode(self._buffer[:size] if size <= _SMALL else self._view[:size]))
        except (BlockingIOError, UnknownFieldError):
            raise
        except OSError as error:
            _failed(error)
        except ProtocolError as error:
            broken(error)

    def send(self, datagrams: Iterable[Datagram]) -> None:
        """Says a message, waiting for room."""
        try:
            for datagram in datagrams:
                self._put(datagram, 0)
        except OSError as error:
            _failed(error)

    def say(self, kind: int, call: int = 0, meta: bytes = b"", body: bytes = b"") -> None:
        if len(meta) + len(body) > ROOM:
            self.send(cut(kind, call, meta, body))
            return
        try:
            self.socket.send(head(kind, call, meta) + body)
        except OSError as error:
            _failed(error)

    def send_now(self, datagram: Datagram) -> bool:
        """Whether there was room for it."""
        try:
            self._put(datagram, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError as error:
            _failed(error)
        return True

    def _put(self, datagram: Datagram, flags: int) -> None:
        if isinstance(datagram, bytes):
            self.socket.send(datagram, flags)
        else:
            self.socket.sendmsg(datagram, (), flags)

    def mention(self, kind: int, call: int, meta: bytes, body: bytes = b"") -> None:
        """Says what may be lost: dropped when there is no room for it, or nobody to hear."""
        with contextlib.suppress(OSError):
            self.socket.send(encode(kind, call, meta, body), socket.MSG_DONTWAIT)

    def sever(self) -> None:
        """For a forked child, which must neither speak as the worker nor keep its sockets open."""
        with contextlib.suppress(OSError):
            self.socket.close()


def _failed(error: OSError) -> NoReturn:
    if error.errno in _GONE:
        owner_gone()
    broken(error)
