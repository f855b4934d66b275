"""A crowd: as many plain children as the first argument says."""

import sys

import rollcall

members = int(sys.argv[1])
roll = rollcall.RollCall()
for _ in range(members):
    rollcall.fork_into(roll.present)
roll.complete(members)
rollcall.ready()
rollcall.stand()
