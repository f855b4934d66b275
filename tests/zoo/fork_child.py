"""A worker with two children and a grandchild, all of them plain forks."""

import rollcall

roll = rollcall.RollCall()


def child_with_child() -> None:
    rollcall.fork_into(roll.present)
    roll.present()


rollcall.fork_into(roll.present)
rollcall.fork_into(child_with_child)
roll.complete(3)
rollcall.ready()
rollcall.stand()
