"""Kills its parent, the warden, as soon as its own tree stands.

The parent is the process that was to clean up after this worker.
"""

import signal

import rollcall

warden = rollcall.hold_parent()
roll = rollcall.RollCall()
rollcall.deafen()
rollcall.fork_into(roll.present)
rollcall.daemonise_into(roll.present)
roll.complete(2)
rollcall.ready()
rollcall.strike(warden, signal.SIGKILL)
rollcall.stand()
