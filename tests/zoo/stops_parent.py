"""Stops its parent, the warden, with SIGSTOP before it says that it is ready.

The process that was to clean up after this worker is alive and does nothing.
"""

import os
import signal

import rollcall

rollcall.require_keeper()
roll = rollcall.RollCall()
rollcall.deafen()
rollcall.fork_into(roll.present)
rollcall.daemonise_into(roll.present)
roll.complete(2)
os.kill(os.getppid(), signal.SIGSTOP)
rollcall.ready()
rollcall.stand()
