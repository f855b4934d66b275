"""Worker, child and daemon clear the signal they would get at their parent's death."""

import ctypes
import os

import rollcall

PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)
roll = rollcall.RollCall()


def clear() -> None:
    if libc.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def clear_and_report() -> None:
    clear()
    os.setsid()
    roll.present()


clear()
rollcall.fork_into(clear_and_report)
rollcall.daemonise_into(clear_and_report)
roll.complete(2)
rollcall.ready()
rollcall.stand()
