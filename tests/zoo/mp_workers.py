"""What the three ``multiprocessing`` workers share: two processes and a roll call."""

from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext, ForkServerContext, SpawnContext
from typing import Union

import rollcall

Context = Union[ForkContext, ForkServerContext, SpawnContext]


def member(roll: "Connection[str, str]") -> None:
    """Says it is present and waits for ever."""
    roll.send("present")
    rollcall.stand()


def work(context: Context) -> None:
    """Starts two processes in the context's way and waits with them for ever."""
    reader, writer = context.Pipe(duplex=False)
    for _ in range(2):
        context.Process(target=member, args=(writer,)).start()
    for _ in range(2):
        reader.recv()
    rollcall.ready()
    rollcall.stand()
