"""Bodies larger than a frame: cut into pieces on the way out, put together on the way in.

The first piece carries the meta; each but the last is marked MORE; pieces of different calls may come
between. What is put together is bounded twice: no body is larger than `max_message`, and only so many are
open at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Union

from ._frames import HEADER, INPUT, MAX_FRAME, MORE, Frame, ProtocolError, head

MAX_MESSAGE = 64 * 1024 * 1024
MAX_OPEN = 64

# What a frame has room for, beside its header.
ROOM = MAX_FRAME - HEADER.size

# In one, or in two halves, so that nobody but the kernel copies a piece of a large body.
Datagram = Union[bytes, tuple[bytes, memoryview]]


def cut(kind: int, call: int, meta: bytes, body: bytes, flags: int = 0) -> Iterable[Datagram]:
    """The datagrams that say one message."""
    if len(meta) + len(body) <= ROOM:
        return (head(kind, call, meta, flags) + body,)
    return _pieces(kind, call, meta, body, flags)


def _pieces(kind: int, call: int, meta: bytes, body: bytes, flags: int) -> Iterator[Datagram]:
    view = memoryview(body)
    room = ROOM - len(meta)
    if room < 0:
        raise ValueError(f"a meta of {len(meta)} bytes: at most {ROOM} fit")
    yield head(kind, call, meta, flags | MORE), view[:room]
    starts = range(room, len(body), ROOM)
    for piece, start in enumerate(starts, 1):
        more = MORE if piece < len(starts) else 0
        yield head(kind, call, b"", more, piece), view[start : start + ROOM]


class _Open:
    """A message whose last piece has not come."""

    def __init__(self, first: Frame) -> None:
        self.first = first._replace(body=b"")
        self.pieces = 0
        # Its value is what was written into it, and no copy of that.
        self.body = BytesIO()
        self.add(first)

    def add(self, frame: Frame) -> None:
        self.pieces += 1
        self.body.write(frame.body)


class Joiner:
    """Frames in, whole messages out."""

    def __init__(self, max_message: int = MAX_MESSAGE, max_open: int = MAX_OPEN) -> None:
        self.max_message = max_message
        self._max_open = max_open
        self._open: dict[tuple[int, int], _Open] = {}

    def take(self, frame: Frame) -> Frame | None:
        """The message that this frame completes, if it does."""
        _, flags, _, piece, body, _, _ = frame
        if not (piece or flags & MORE or self._open) and len(body) <= self.max_message:
            return frame
        key = (frame.kind, frame.call)
        begun = self._open.get(key)
        if begun is None:
            return self._begin(key, frame)
        if frame.piece != begun.pieces:
            raise ProtocolError(f"piece {frame.piece} of call {frame.call}: {begun.pieces} was expected")
        self._bound(begun.body.tell() + len(frame.body), frame)
        begun.add(frame)
        if frame.flags & MORE:
            return None
        del self._open[key]
        return begun.first._replace(flags=begun.first.flags & INPUT, body=begun.body.getvalue())

    def _begin(self, key: tuple[int, int], frame: Frame) -> Frame | None:
        if frame.piece:
            raise ProtocolError(f"piece {frame.piece} of call {frame.call}: its beginning never came")
        self._bound(len(frame.body), frame)
        if not frame.flags & MORE:
            return frame
        if len(self._open) >= self._max_open:
            raise ProtocolError(f"more than {self._max_open} messages are unfinished")
        self._open[key] = _Open(frame)
        return None

    def _bound(self, size: int, frame: Frame) -> None:
        if size > self.max_message:
            raise ProtocolError(f"the body of call {frame.call} is larger than {self.max_message} bytes")
