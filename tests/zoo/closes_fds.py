"""Worker, child and daemon close every file descriptor they have.

No pipe end-of-file, no inherited socket and no terminal tells anything about
them any more. The worker closes its own after its last word.
"""

import os
import resource

import rollcall

roll = rollcall.RollCall()


def close_everything() -> None:
    highest, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.closerange(0, min(highest, 65536))


def close_all_but_the_roll() -> None:
    os.dup2(roll.writer, 0)
    os.closerange(1, 4096)
    os.write(0, b".")
    close_everything()


rollcall.fork_into(close_all_but_the_roll)
rollcall.daemonise_into(close_all_but_the_roll)
roll.complete(2)
rollcall.ready()
close_everything()
rollcall.stand()
