"""Kills its parent, the warden, as soon as its own tree stands.

The parent is the process that was to clean up after this worker.
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
rollcall.ready()
os.kill(os.getppid(), signal.SIGKILL)
rollcall.stand()
