"""A child in a session of its own, and a grandchild in a process group of its own."""

import os

import rollcall

roll = rollcall.RollCall()


def own_group() -> None:
    os.setpgid(0, 0)
    roll.present()


def own_session() -> None:
    os.setsid()
    rollcall.fork_into(own_group)
    roll.present()


rollcall.fork_into(own_session)
roll.complete(2)
rollcall.ready()
rollcall.stand()
