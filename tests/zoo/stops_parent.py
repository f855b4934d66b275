"""Stops its parent, the warden, with SIGSTOP before it says that it is ready.

The process that was to clean up after this worker is alive and does nothing.
"""

import signal

import rollcall

warden = rollcall.hold_parent()
roll = rollcall.RollCall()
rollcall.deafen()
rollcall.fork_into(roll.present)
rollcall.daemonise_into(roll.present)
roll.complete(2)
rollcall.strike(warden, signal.SIGSTOP)
rollcall.ready()
rollcall.stand()
