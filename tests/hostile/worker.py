#!/usr/bin/env python3
"""A worker that breaks the protocol, in the way that its name says behind an @."""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from collections.abc import Callable

HEADER = struct.Struct("<BBHIQII")
CALL, ANSWER, ITEM, END, REJECTED, HELLO, READY, LOG = 1, 65, 66, 67, 69, 97, 98, 101

calls = socket.socket(fileno=int(os.environ["SIDEWINDER_CALLS_FD"]))
control = socket.socket(fileno=int(os.environ["SIDEWINDER_CONTROL_FD"]))


def frame(kind: int, fields: dict[int, int], call: int = 0, version: int = 1, piece: int = 0) -> bytes:
    """One frame with numbers as its meta."""
    meta = b"".join(struct.pack("<HIQ", tag, 8, value) for tag, value in fields.items())
    return HEADER.pack(version, kind, 0, len(meta), call, piece, 0) + meta


def hello(oldest: int = 1, newest: int = 1) -> None:
    """Introduces itself."""
    control.send(frame(HELLO, {16: oldest, 17: newest}))


def ready() -> None:
    """Says that calls may come."""
    control.send(frame(READY, {21: 1}) + b'{"tools": []}')


def next_call() -> int:
    """Waits for a call, and returns its number."""
    while True:
        _, kind, _, _, call, _, _ = HEADER.unpack_from(calls.recv(1 << 17))
        if kind == CALL:
            return int(call)


def flood(call: int) -> None:
    """Says items without end and without credit."""
    while True:
        calls.send(frame(66, {}, call=call))


def play_dead(_: int) -> None:
    """Closes its sockets and stays."""
    calls.close()
    control.close()


def answer_twice(call: int) -> None:
    """Says the same ending again."""
    calls.send(frame(ANSWER, {}, call=call))
    calls.send(frame(ANSWER, {}, call=call))


def go_on_for_ever(call: int) -> None:
    """Says piece after piece of one answer."""
    piece = 0
    while True:
        more = bytearray(frame(ANSWER, {}, call=call, piece=piece) + bytes(120 * 1024))
        more[2] = 1
        calls.send(more)
        piece += 1


def babble() -> None:
    """Says far more about itself than anybody wants to know."""
    ready()
    while True:
        control.send(frame(LOG, {}) + bytes(32 * 1024))


def ready_twice() -> None:
    """Cannot be readier than ready."""
    ready()
    ready()


def say_after_the_end(call: int) -> None:
    """Has one more item when its stream is over."""
    calls.send(frame(END, {}, call=call))
    calls.send(frame(ITEM, {}, call=call))


BEFORE_HELLO: dict[str, Callable[[], None]] = {
    "silent": lambda: time.sleep(1000),
    "newer": lambda: hello(2, 9),
    "ready-first": ready,
}
BEFORE_READY: dict[str, Callable[[], object]] = {
    "hello-twice": hello,
    "truncated": lambda: control.send(b"\x01\x62"),
    "version": lambda: control.send(frame(READY, {21: 1}, version=9)),
    "oversized": lambda: control.send(frame(READY, {21: 1}) + bytes(128 * 1024)),
    "ready-twice": ready_twice,
    "wrong-socket": lambda: control.send(frame(ANSWER, {})),
    "number": lambda: control.send(HEADER.pack(1, READY, 0, 7, 0, 0, 0) + struct.pack("<HIB", 21, 1, 1)),
    "meta": lambda: control.send(HEADER.pack(1, READY, 0, 1 << 31, 0, 0, 0)),
    "babbles": babble,
    "unknown-kind": lambda: control.send(frame(200, {})),
}
IN_A_CALL: dict[str, Callable[[int], object]] = {
    "wrong-call": lambda call: calls.send(frame(ANSWER, {}, call=call + 1000)),
    "answers-twice": answer_twice,
    "after-the-end": say_after_the_end,
    "endless": go_on_for_ever,
    "unknown-reason": lambda call: calls.send(frame(REJECTED, {}, call=call)),
    "speaks-of-itself": lambda call: calls.send(frame(HELLO, {16: 1, 17: 1}, call=call)),
    "out-of-order": lambda call: calls.send(frame(ANSWER, {}, call=call, piece=7)),
    "critical": lambda call: calls.send(frame(ANSWER, {0x8FFF: 1}, call=call)),
    "flood": flood,
    "plays-dead": play_dead,
}


def misbehave(how: str) -> None:
    """Does what it is told, when its time has come."""
    if how in BEFORE_HELLO:
        return BEFORE_HELLO[how]()
    hello()
    if how in BEFORE_READY:
        BEFORE_READY[how]()
    else:
        ready()
        calls.send(frame(ANSWER, {}, call=next_call()))  # the canary
        IN_A_CALL[how](next_call())
    return None


misbehave(sys.argv[0].rpartition("@")[2])
time.sleep(1000)
