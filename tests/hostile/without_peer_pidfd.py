"""Becomes the command that its arguments are, on a kernel that does not know SO_PEERPIDFD: before Linux 6.5.

A filter of system calls says ENOPROTOOPT to that one question, as such a kernel does, and lets everything
else pass. Whoever is below has the filter as well.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

GETSOCKOPT = {"x86_64": 55, "aarch64": 209}
SO_PEERPIDFD = 77
PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
FILTER = 2
# Of the classic instructions: load a word, jump if equal, return.
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW = 0x7FFF0000
REFUSE = 0x00050000 | errno.ENOPROTOOPT
# Where the kernel puts the number of the call, and the lower half of its third argument.
NUMBER, OPTION = 0, 32


def instruction(code: int, value: int, otherwise: int = 0) -> bytes:
    """One step; if what it compares differs, so many are left out."""
    return struct.pack("=HBBI", code, 0, otherwise, value)


def refuse() -> None:
    """From here on, and for whoever comes after."""
    steps = b"".join(
        [
            instruction(LOAD, NUMBER),
            instruction(EQUAL, GETSOCKOPT[platform.machine()], otherwise=3),
            instruction(LOAD, OPTION),
            instruction(EQUAL, SO_PEERPIDFD, otherwise=1),
            instruction(RETURN, REFUSE),
            instruction(RETURN, ALLOW),
        ]
    )
    held = ctypes.create_string_buffer(steps)
    program = struct.pack("@HP", len(steps) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    for words in [(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, FILTER, program, 0, 0)]:
        if libc.prctl(*words) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    refuse()
    os.execv(sys.argv[1], sys.argv[1:])
