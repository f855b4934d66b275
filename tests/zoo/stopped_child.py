"""A child and a daemonised grandchild that stop themselves with SIGSTOP.

A stopped process cannot say that it is stopped. The child's parent learns it
from ``waitpid``; the daemon gets a parent that watches it in the same way.
"""

import os
import signal

import rollcall

roll = rollcall.RollCall()


def stop_self() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def watch_a_stopped_child() -> None:
    _, status = os.waitpid(rollcall.fork_into(stop_self), os.WUNTRACED)
    if os.WIFSTOPPED(status):
        roll.present()


rollcall.fork_into(watch_a_stopped_child)
rollcall.daemonise_into(watch_a_stopped_child)
roll.complete(2)
rollcall.ready()
rollcall.stand()
