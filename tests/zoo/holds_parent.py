"""A child and a daemon stop the warden with SIGSTOP, again and again, whoever wakes it.

Unlike a single stop, no wake-up of the warden lasts: whoever is to clean up has
to do without it. They begin once the worker has said that its tree stands.
"""

import os
import signal
import time

import rollcall

PACE_S = 0.0005

warden = rollcall.hold_parent()
roll = rollcall.RollCall()
begin, go = os.pipe()


def keep_stopping() -> None:
    roll.present()
    os.read(begin, 1)
    while True:
        rollcall.strike(warden, signal.SIGSTOP)
        time.sleep(PACE_S)


rollcall.deafen()
rollcall.fork_into(keep_stopping)
rollcall.daemonise_into(keep_stopping)
roll.complete(2)
rollcall.ready()
os.write(go, b"go")
rollcall.stand()
