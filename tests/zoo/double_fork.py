"""Three daemonised grandchildren, one of them with a child of its own."""

import rollcall

roll = rollcall.RollCall()


def daemon_with_child() -> None:
    rollcall.fork_into(roll.present)
    roll.present()


rollcall.daemonise_into(roll.present)
rollcall.daemonise_into(roll.present)
rollcall.daemonise_into(daemon_with_child)
roll.complete(4)
rollcall.ready()
rollcall.stand()
