"""The roll call: how a nasty worker knows that its whole tree stands.

A worker makes one pipe before it forks. Every member of its tree writes one
byte into it as its last act before it waits for ever. The worker reads as many
bytes as it expects, and only then prints ``ready``. So ``ready`` is a fact
about every member; no clock is involved.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

Life = Callable[[], None]


class RollCall:
    """One pipe: members say that they are present, the worker counts them."""

    def __init__(self) -> None:
        self._reader, self.writer = os.pipe()

    def present(self) -> None:
        """Said by a member, once it is what it wants to be."""
        os.write(self.writer, b".")

    def complete(self, members: int) -> None:
        """Blocks the worker until every member has said it is present."""
        while members > 0:
            members -= len(os.read(self._reader, members))


def ready() -> None:
    """Tells the outside that the whole tree stands."""
    os.write(sys.stdout.fileno(), b"ready\n")


def stand() -> NoReturn:
    """Waits for ever, through every signal that does not end the process."""
    while True:
        signal.pause()


def deafen() -> None:
    """Ignores the signals that ask politely."""
    for polite in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(polite, signal.SIG_IGN)


def fork_into(life: Life) -> int:
    """Forks a child that lives ``life`` and then waits for ever."""
    child = os.fork()
    if child == 0:
        life()
        stand()
    return child


def daemonise_into(life: Life) -> None:
    """Forks twice with a session of its own between, as daemons do."""
    between = os.fork()
    if between == 0:
        os.setsid()
        fork_into(life)
        os._exit(0)
    os.waitpid(between, 0)


def hold_parent() -> int:
    """A pidfd of the warden. Refuses to take hold of a parent that is no part of Sidewinder."""
    if "SIDEWINDER_RUN" not in os.environ:
        sys.exit("this worker attacks its parent: run it under `sidewinder keep` only")
    parent = os.getppid()
    pidfd = os.pidfd_open(parent)
    if os.getppid() != parent:
        sys.exit("the parent is gone already")
    return pidfd


def strike(pidfd: int, blow: signal.Signals) -> None:
    """Sends a signal to a process that is held; one that is gone is left in peace."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, blow)
