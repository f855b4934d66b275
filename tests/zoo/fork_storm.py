"""A storm of forks and exits that never rests, and never grows beyond a bound.

Two kinds of churn, each with a count of its own:

* a *hopper* forks, its parent exits, and the child goes on as an orphan in a
  new session: one living process whose PID never stays the same;
* a *churner* forks children that exit at once, at most four at a time.

12 hoppers (24 processes at a hop) + 12 churners with 4 children each (60)
+ the worker: never more than 85 alive. Whoever reaps orphans may be dead or
stopped, so hoppers rest while the table of processes holds too many entries.
"""

import os
import signal
import time

import rollcall

HOPPERS = 12
CHURNERS = 12
BROOD = 4
CROWDED = 3000
PACE_S = 0.001

roll = rollcall.RollCall()


def crowded() -> bool:
    return sum(name.isdigit() for name in os.listdir("/proc")) > CROWDED


def hop() -> None:
    roll.present()
    hops = 0
    while True:
        hops += 1
        if hops % 50 == 0 and crowded():
            rollcall.stand()
        if os.fork() != 0:
            os._exit(0)
        os.setsid()
        time.sleep(PACE_S)


def churn() -> None:
    roll.present()
    while True:
        brood = []
        for _ in range(BROOD):
            child = os.fork()
            if child == 0:
                os._exit(0)
            brood.append(child)
        for child in brood:
            os.waitpid(child, 0)
        time.sleep(PACE_S)


signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(HOPPERS):
    rollcall.daemonise_into(hop)
for _ in range(CHURNERS):
    rollcall.fork_into(churn)
roll.complete(HOPPERS + CHURNERS)
rollcall.ready()
rollcall.stand()
