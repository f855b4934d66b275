"""What a reader has to know to believe the table."""

from __future__ import annotations

import textwrap

from measures.changes import CALLERS
from measures.echo import WORKERS
from plan import Plan

HOW = """\
One peer at a time, everything on one machine, the load included. Each has the same Python, the same work
(`tests/race/served/work.py`), {workers} workers where nothing else is said, and HTTP or gRPC over TCP on the
loopback. The executor and Ray have no socket: they are called by Python threads in the program that has the
workers.

Echoes: {plan.rounds} rounds of {plan.span:g} s, Sidewinder and the peer in turn, load by load; the figure is
the middle of the rounds, the ratio the middle of their ratios. The client is one compiled program for all
(`sidewinder-bench`): callers of HTTP have a thread and a connection each and keep it if the server does,
callers of gRPC share one connection. It used at most {client:.0f} % of one processor. Starts of up to ten
workers take turns as well; every other ratio is to the one figure
that Sidewinder has in the table. Where it took turns, its figure there is the middle of all of them.

A ratio says how many times better Sidewinder was: above 1 it is ahead. Memory is the proportional share (PSS)
of everybody in the tree. A start is over when every worker has its app and a call was answered. A call of
{plan.nap:g} s runs in the worker whose caller hangs up, or that is killed; the manager is killed with one
worker busy and one idle, and who is alive is counted after 2 s. A reload is watched by {callers} callers that
never stop; what it adds is the longest call less the usual one. Nobody is waited for longer than
{plan.limit:g} s after a fault."""


def how(plan: Plan, client: float) -> str:
    """How it was measured; the client used so much of a processor."""
    told = HOW.format(plan=plan, client=100 * client, workers=WORKERS, callers=CALLERS)
    return "\n\n".join(textwrap.fill(paragraph, 118) for paragraph in told.split("\n\n"))
