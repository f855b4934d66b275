"""Bytes and frames: what one datagram between the daemon and a worker says.

    version u8 │ kind u8 │ flags u16 │ meta length u32 │ call u64 │ piece u32 │ 0 u32 │ meta │ body

Pure: no socket is owned here. Whatever arrives is either a frame or a `ProtocolError`, never another
exception. What the frames mean is written in proto/WORKER.md; the golden frames beside it pin every byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import partial
from typing import Any, NamedTuple

VERSION = 1
MAX_FRAME = 128 * 1024

HEADER = struct.Struct("<BBHIQII")
_HEADER_SIZE = HEADER.size
_header = HEADER.pack
_header_of = HEADER.unpack_from
_FIELD = struct.Struct("<HI")
_FIELD_SIZE = _FIELD.size
_field_at = _FIELD.unpack_from
_NUMBER = struct.Struct("<Q")
_number_of = _NUMBER.unpack
NUMBER_MAX = 2**64 - 1

MORE = 1
INPUT = 2
_FLAGS = MORE | INPUT

# A field with this bit changes what the frame means: who does not know it must not act on the frame.
CRITICAL = 0x8000


class Kind:
    """What a frame is about. The daemon's are below 64, the worker's above."""

    CALL, ITEM_IN, END_IN, CREDIT, HEARD = 1, 2, 3, 4, 5
    WELCOME, PING, CANCEL, DRAIN, RESYNC, DUMP = 33, 34, 35, 36, 37, 38
    ANSWER, ITEM, END, RAISED, REJECTED, WANT = 65, 66, 67, 68, 69, 70
    HELLO, READY, UNFIT, PONG, LOG, PROGRESS, HEARTBEAT, STACKS = range(97, 105)
    PRELOADED, UNFORKABLE = 105, 106
    RUNS, KEEPS, RESYNCED = range(107, 110)


class Tag:
    """The names of the fields in a frame's meta."""

    TOOL, CONTENT_TYPE, DEADLINE, METADATA, TRACEPARENT, CLIENT, CREDIT, HEARD, ATTEMPT = range(1, 10)
    TYPE, MESSAGE, TRACEBACK, NOTE, CANCELLED, REASON = range(10, 16)
    OLDEST, NEWEST, LANGUAGE, RUNTIME, PID, SEATS, PING, RESIDENT, LEVEL = range(16, 25)
    MAX_MESSAGE, POOL, LIFE = range(25, 28)
    INSTALLED, MEMO = 28, 29


Fields = tuple[tuple[int, bytes], ...]


class Beginning:
    """How a meta begins.

    What is said of a call is mostly what was said of the one before. What differs stands around it: texts
    ahead, and last a deadline and an ending that was heard. What is between them is read once: what ended
    with a field does so wherever it comes again. Whoever understands it keeps here what he understood.
    """

    __slots__ = ("fields", "understood")

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.understood: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Beginning) and self.fields == other.fields

    def __hash__(self) -> int:
        return hash(self.fields)

    def __repr__(self) -> str:
        return repr(self.fields)


# The last fields of most calls: a number each.
_DEADLINE, _HEARD = Tag.DEADLINE, Tag.HEARD
_DEADLINE_HEAD, _HEARD_HEAD = _FIELD.pack(_DEADLINE, 8), _FIELD.pack(_HEARD, 8)
# What of a call stands ahead of everything else. These tags have one byte.
_AHEAD = frozenset((Tag.MEMO, Tag.TRACEPARENT))
_KNOWN_MAX = 64
_KNOWN_SIZE = 512
_known: dict[bytes, Beginning] = {}
_NOTHING = Beginning(())


class ProtocolError(Exception):
    """The peer said something that cannot be understood."""


class UnknownFieldError(ProtocolError):
    """A field that must not be skipped. The header was readable, so a call can be refused by its id."""

    def __init__(self, tag: int, kind: int, call: int) -> None:
        super().__init__(f"field {tag:#x} is critical and unknown")
        self.kind = kind
        self.call = call


class Frame(NamedTuple):
    """One frame. The body of a piece is a view of the datagram, because it is copied at once to where the
    whole body comes together."""

    kind: int
    flags: int = 0
    call: int = 0
    piece: int = 0
    body: bytes = b""
    begun: Beginning = _NOTHING
    rest: Fields = ()

    @property
    def fields(self) -> Fields:
        """The meta, in its order and with its repetitions."""
        ahead = tuple(each for each in self.rest if each[0] in _AHEAD)
        return ahead + self.begun.fields + self.rest[len(ahead) :]

    def first(self, tag: int) -> bytes | None:
        for known, value in self.fields:
            if known == tag:
                return value
        return None

    def number(self, tag: int, default: int = 0) -> int:
        value = self.first(tag)
        return default if value is None else as_number(value)


# Without the step through Python that calling the class would take.
_new = partial(tuple.__new__, Frame)


def encode(
    kind: int,
    call: int = 0,
    meta: bytes = b"",
    body: bytes | memoryview = b"",
    flags: int = 0,
    piece: int = 0,
) -> bytes:
    """One datagram. It is the sender's fault when that is larger than a frame may be."""
    frame = b"".join((HEADER.pack(VERSION, kind, flags, len(meta), call, piece, 0), meta, body))
    if len(frame) > MAX_FRAME:
        raise ValueError(f"a frame of {len(frame)} bytes: at most {MAX_FRAME} fit")
    return frame


def head(kind: int, call: int, meta: bytes, flags: int = 0, piece: int = 0) -> bytes:
    """What comes before the body."""
    return _header(VERSION, kind, flags, len(meta), call, piece, 0) + meta


def decode(datagram: bytes | bytearray | memoryview) -> Frame:
    """The frame in a datagram."""
    size = len(datagram)
    if size > MAX_FRAME:
        raise ProtocolError(f"a frame larger than {MAX_FRAME} bytes")
    try:
        version, kind, flags, length, call, piece, zero = _header_of(datagram)
    except struct.error:
        raise ProtocolError(f"a frame of {size} bytes: the header alone has {_HEADER_SIZE}") from None
    if version != VERSION:
        raise ProtocolError(f"a frame of version {version}: this is version {VERSION}")
    if zero or flags > _FLAGS:
        raise ProtocolError("a header with unknown flags")
    start = _HEADER_SIZE + length
    if start > size:
        raise ProtocolError(f"the meta has {length} bytes, the frame only {size - _HEADER_SIZE}")
    body = datagram[start:] if piece or flags & MORE else bytes(datagram[start:])
    if not length:
        return _new((kind, flags, call, piece, body, _NOTHING, ()))
    if piece:
        raise ProtocolError("a later piece with a meta")
    begun, rest = _read(bytes(datagram[_HEADER_SIZE:start]), kind, call)
    return _new((kind, flags, call, piece, body, begun, rest))


def _read(meta: bytes, kind: int, call: int) -> tuple[Beginning, Fields]:
    if meta[0] not in _AHEAD:
        return _read_alike(meta, kind, call)
    ahead, meta = _split(meta)
    begun, rest = _read_alike(meta, kind, call)
    return begun, ahead + rest


def _split(meta: bytes) -> tuple[Fields, bytes]:
    """The fields that stand ahead, and what comes after them."""
    found = []
    for _ in _AHEAD:
        if len(meta) < _FIELD_SIZE:
            break
        tag, length = _field_at(meta)
        end = _FIELD_SIZE + length
        if tag not in _AHEAD or end > len(meta):
            break
        found.append((tag, meta[_FIELD_SIZE:end]))
        meta = meta[end:]
    return tuple(found), meta


def _read_alike(meta: bytes, kind: int, call: int) -> tuple[Beginning, Fields]:
    if meta[-14:-8] == _HEARD_HEAD:
        if meta[-28:-22] == _DEADLINE_HEAD:
            begun = _known.get(meta[:-28])
            if begun is not None:
                return begun, ((_DEADLINE, meta[-22:-14]), (_HEARD, meta[-8:]))
            return _learnt(meta[:-28], _all(meta, kind, call))
        begun = _known.get(meta[:-14])
        if begun is not None:
            return begun, ((_HEARD, meta[-8:]),)
        return _learnt(meta[:-14], _all(meta, kind, call))
    return Beginning(_all(meta, kind, call)), ()


def _learnt(beginning: bytes, fields: Fields) -> tuple[Beginning, Fields]:
    """What looks like the last fields may be the inside of one: it is what it looks like if the beginning
    ends with a field."""
    at, size = 0, len(beginning)
    if size <= _KNOWN_SIZE:
        for count, (_, value) in enumerate(fields, 1):
            at += _FIELD_SIZE + len(value)
            if at == size:
                if len(_known) >= _KNOWN_MAX:
                    _known.clear()
                begun = _known[beginning] = Beginning(fields[:count])
                return begun, fields[count:]
    return Beginning(fields), ()


def _all(meta: bytes, kind: int, call: int) -> Fields:
    fields = []
    at, end = 0, len(meta)
    try:
        while at < end:
            tag, length = _field_at(meta, at)
            start = at + _FIELD_SIZE
            at = start + length
            if at > end:
                raise ProtocolError(f"field {tag:#x} is longer than its meta")
            if tag >= CRITICAL:
                raise UnknownFieldError(tag, kind, call)
            fields.append((tag, meta[start:at]))
    except struct.error:
        raise ProtocolError("a meta that ends in the middle of a field") from None
    return tuple(fields)


def meta(fields: Iterable[tuple[int, int | str | bytes]]) -> bytes:
    """The bytes of some fields: numbers have eight bytes, text is UTF-8."""
    return b"".join(field(tag, value) for tag, value in fields)


def field(tag: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        value = _NUMBER.pack(value)
    elif isinstance(value, str):
        value = value.encode("utf-8", "backslashreplace")
    return _FIELD.pack(tag, len(value)) + value


def as_number(value: bytes) -> int:
    try:
        (number,) = _number_of(value)
    except struct.error:
        raise ProtocolError(f"a number of {len(value)} bytes instead of 8") from None
    return number  # type: ignore[no-any-return]


def as_text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ProtocolError("a text that is not UTF-8") from None
