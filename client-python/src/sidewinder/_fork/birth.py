"""How a worker comes to be where it has to be: below a warden of its own, which is below the keeper.

    server ─fork─▶ midwife ─fork─▶ nurse ─fork─▶ newcomer

The midwife leaves at once, so the kernel gives the nurses to the keeper. A nurse executes the program of
wardens: whoever was its child is the child of a warden. The newcomer waits until that warden, which the
keeper has recognised and which has put it under its limits, gives it its descriptors. What the server
holds never reaches a worker: it is closed here, or replaced.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import traceback
from typing import Any, Callable, NamedTuple, NoReturn

from . import kernel

VERSION = 1
FORK, CLEAN, HELD, HATCH, BEGUN = 9, 32, 35, 36, 38
HEADER = struct.Struct("<BBHI")
_FIELD = struct.Struct("<HI")
_NUMBER = struct.Struct("<Q")
_INT = struct.Struct("=i")
# A plain number: to combine flags of an enumeration takes as long as everything else here.
_CLOEXEC = int(socket.MSG_CMSG_CLOEXEC)
FD = 0x8000 | 11
MAX_FRAME = 128 * 1024
MAX_FDS = 32
# The keeper's argument, as in its source.
WARDEN_ARGUMENT = b"__warden"
# Room for any number in an argument, and its end.
_NUMBER_MAX = 12


def word(kind: int, worker: int = 0) -> bytes:
    return HEADER.pack(VERSION, kind, 0, worker)


def receive(nest: socket.socket, most: int, flags: int = 0) -> tuple[bytes, list[int]]:
    """The next frame and its descriptors. `socket.recv_fds` of the standard library looks past its flags."""
    space = socket.CMSG_LEN(most * _INT.size)
    frame, beside, _, _ = nest.recvmsg(MAX_FRAME, space, flags | _CLOEXEC)
    fds: list[int] = []
    for level, kind, data in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds += (number for (number,) in _INT.iter_unpack(data[: len(data) - len(data) % _INT.size]))
    return frame, fds


class Egg(NamedTuple):
    """A worker that is asked for. All of it is made by the server: whatever a nurse makes, its newcomer has
    to itself."""

    number: bytes
    leash: int
    # The socket between warden and newcomer.
    wardens: int
    newcomers: int

    @classmethod
    def lay(cls, worker: int, leash: int) -> Egg:
        wardens, newcomers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        return cls(b"%d" % worker, leash, wardens.detach(), newcomers.detach())

    def drop(self) -> None:
        os.close(self.leash)
        os.close(self.wardens)
        os.close(self.newcomers)


class Nest(NamedTuple):
    """What the server holds, and a worker must not have."""

    program: int
    # Its sockets, by their numbers. Others may have them afterwards.
    held: tuple[int, ...]
    # What differs from warden to warden: the number of the worker, and its process.
    number: Any
    pid: Any
    execute: Callable[[], None]

    @classmethod
    def of(cls, keeper: int, program: int, *held: int) -> Nest:
        run = {name: value for name, value in os.environ.items() if name == "SIDEWINDER_RUN"}
        number, pid = kernel.room(size=_NUMBER_MAX), kernel.room(size=_NUMBER_MAX)
        arguments = [kernel.room(text) for text in (b"sidewinder", WARDEN_ARGUMENT, b"%d" % keeper)]
        return cls(program, held, number, pid, kernel.execution(program, [*arguments, number, pid], run))

    def execute_warden(self, number: bytes, pid: int) -> None:
        """Returns only to say why not."""
        self.number.value = number
        self.pid.value = b"%d" % pid
        self.execute()


def deliver(nest: Nest, eggs: list[Egg]) -> bool:
    """Forks these workers. True in the worker, which has its descriptors then; False in the server."""
    midwife = kernel.plain_fork()
    if not midwife:
        try:
            if _attend(nest, eggs):
                return True
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.waitpid(midwife, 0)
    return False


def _attend(nest: Nest, eggs: list[Egg]) -> bool:
    while eggs:
        egg = eggs.pop()
        if not kernel.plain_fork():
            for other in eggs:
                other.drop()
            _nurse(nest, egg)
            return True
        egg.drop()
    return False


def _nurse(nest: Nest, egg: Egg) -> None:
    """Returns in the newcomer only."""
    kernel.adopt_orphans(True)
    nurse = os.getpid()
    pid = os.fork()
    if pid:
        _become_warden(nest, egg, pid)
    os.close(egg.wardens)
    os.close(egg.leash)
    _be_born(nest, nurse, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, egg.newcomers))


def _become_warden(nest: Nest, egg: Egg, pid: int) -> NoReturn:
    try:
        os.dup2(egg.leash, 0)
        os.dup2(egg.wardens, 1)
        nest.execute_warden(egg.number, pid)
    except BaseException:
        traceback.print_exc()
    # The newcomer ends with its socket.
    os._exit(1)


def _be_born(nest: Nest, nurse: int, birth: socket.socket) -> None:
    """Waits for the warden. Nothing of the author runs before that, but for his hooks at forks."""
    frame, fds = receive(birth, MAX_FDS)
    kernel.die_with_parent(True)
    if not frame or HEADER.unpack_from(frame)[:2] != (VERSION, FORK) or os.getppid() != nurse:
        os._exit(0)
    places = numbers(frame)
    os.setsid()
    above = max([*places, *nest.held, 2]) + 1
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in fds]
    say = fcntl.fcntl(birth.fileno(), fcntl.F_DUPFD_CLOEXEC, above)
    for fd in {*fds, *nest.held, nest.program, birth.detach()}:
        os.close(fd)
    for fd, number in zip(moved, places):
        os.dup2(fd, number, inheritable=number <= 2)
        os.close(fd)
    os.write(say, word(BEGUN))
    os.close(say)


def numbers(frame: bytes) -> list[int]:
    """The numbers at which the worker has its descriptors."""
    found, at = [], HEADER.size
    while at < len(frame):
        tag, length = _FIELD.unpack_from(frame, at)
        at += _FIELD.size
        if tag == FD:
            found.append(_NUMBER.unpack_from(frame, at)[0])
        at += length
    return found
