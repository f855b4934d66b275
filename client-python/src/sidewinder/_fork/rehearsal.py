"""What every worker does first, done before there is any.

Python adapts code to what it is used for, and writes that beside the code; it remembers what it has looked
up. So the first steps of a worker are rehearsed here with nobody at the other end: forks find everything
adapted, and do not copy those pages only to adapt the same code in the same way.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from typing import Callable

from .._frames import NUMBER_MAX, VERSION, Kind, Tag, encode, field, meta
from .._life.control import Control
from .._life.serving import CANARY, Solo
from .._life.start import greet
from .._link import Link
from .birth import FD, FORK, MAX_FDS, Nest, numbers, receive, word

# Python has adapted what was done so often.
_ROUNDS = 20


def _nothing() -> None:
    pass


def rehearse() -> None:
    """Nothing of it stays, and nobody hears it."""
    their_calls, our_calls = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    their_control, our_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    calls, link = Link(our_calls.detach()), Link(our_control.detach())
    with their_calls, their_control, calls.socket, link.socket:
        solo, control = Solo(calls, link, {}, 1), Control(link)
        welcome = encode(Kind.WELCOME, 0, meta([(Tag.NEWEST, VERSION), (Tag.MAX_MESSAGE, NUMBER_MAX)]))
        ping = encode(Kind.PING, 0, meta([(Tag.PING, 1)]))
        # What imports have looked up would be replaced in each fork.
        forget: Callable[[], None] = getattr(sys, "_clear_type_cache", _nothing)
        forget()
        # The hook that every fork has. It is meant for a process with one thread, as this one.
        settle: Callable[[], None] = getattr(threading, "_after_fork", _nothing)
        for _ in range(_ROUNDS):
            settle()
        # A program that is nowhere: a nurse gets so far as well.
        nowhere = Nest.of(1, -1)
        for number in range(_ROUNDS):
            with contextlib.suppress(OSError):
                nowhere.execute_warden(b"%d" % number, number)
        plan = word(FORK) + b"".join(field(FD, number) for number in range(1, 5))
        for number in range(1, _ROUNDS + 1):
            their_control.send(welcome)
            greet(calls, link)
            their_control.send(plan)
            numbers(receive(link.socket, MAX_FDS)[0])
            their_control.send(ping)
            control.hear()
            fields = [(Tag.TOOL, CANARY.name), (Tag.CONTENT_TYPE, "application/json")]
            their_calls.send(encode(Kind.CALL, number, meta(fields), b"{}"))
            solo.read_one()
            for theirs in (their_control, their_control, their_calls):
                theirs.recv(4096)
