"""Worker, child and daemonised grandchild: all ignore TERM, INT and HUP."""

import rollcall

roll = rollcall.RollCall()
rollcall.deafen()
rollcall.fork_into(roll.present)
rollcall.daemonise_into(roll.present)
roll.complete(2)
rollcall.ready()
rollcall.stand()
