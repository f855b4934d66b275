"""Covers ``/proc`` with an empty file system, so that nobody can list children any more.

Possible only for root in a mount namespace that the keeper made, and only done
there: the init has to be a keeper, and no mount may be shared with the machine.
Anywhere else this is a worker with a child and a daemon.
"""

import ctypes
import os
from pathlib import Path

import rollcall

libc = ctypes.CDLL(None, use_errno=True)
roll = rollcall.RollCall()


def is_private() -> bool:
    init = Path("/proc/1/comm").read_text(encoding="utf-8").strip()
    return init == "sw-keeper" and "shared:" not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")


rollcall.deafen()
rollcall.fork_into(roll.present)
rollcall.daemonise_into(roll.present)
roll.complete(2)
if os.geteuid() == 0 and is_private() and libc.mount(b"none", b"/proc", b"tmpfs", 0, None) != 0:
    raise OSError(ctypes.get_errno(), "cannot cover /proc")
rollcall.ready()
rollcall.stand()
