"""Takes copies of its guardians' sockets and hands them to a daemon.

Walks up its ancestors as far as they are Sidewinder's, copies each descriptor
it may have with ``pidfd_getfd`` and by opening ``/proc/PID/fd``, and lets a
daemonised child hold them for ever. Whoever waits for an end-of-file on one of
those sockets, and for nothing else, waits for ever too.
"""

import contextlib
import ctypes
import os

import rollcall

SYS_PIDFD_GETFD = 438
HIGHEST_FD = 64
GUARDIANS = ("sw-warden", "sw-keeper", "sidewinder")

libc = ctypes.CDLL(None, use_errno=True)
roll = rollcall.RollCall()


def name_and_parent(pid: int) -> "tuple[str, int]":
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        before, after = stat.read().rsplit(")", 1)
    return before.split("(", 1)[1], int(after.split()[1])


def guardians() -> "list[int]":
    found = []
    pid = os.getppid()
    # A PID namespace with the outer /proc shows strangers under these numbers.
    while pid > 0 and os.readlink("/proc/self") == str(os.getpid()):
        name, parent = name_and_parent(pid)
        if name not in GUARDIANS:
            break
        found.append(pid)
        pid = parent
    return found


def copy_descriptors(pid: int) -> None:
    with contextlib.suppress(OSError):
        pidfd = os.pidfd_open(pid)
        for fd in range(HIGHEST_FD):
            libc.syscall(SYS_PIDFD_GETFD, pidfd, fd, 0)
    for fd in range(HIGHEST_FD):
        with contextlib.suppress(OSError):
            os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR | os.O_NONBLOCK)


for guardian in guardians():
    copy_descriptors(guardian)
rollcall.daemonise_into(roll.present)
roll.complete(1)
rollcall.ready()
rollcall.stand()
