"""What a call costs: round trips of a small body through the real worker, beside a bare echo.

    python3 client-python/bench/echo.py [CALLS]

The best of several rounds is printed, because other work on the machine only ever adds. The frames are
prepared beforehand: the figure is the worker's and the kernel's.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from sidewinder._frames import MAX_FRAME, Kind, Tag, encode, meta
from tests.driver import Fields, Worker, ready

ROUNDS = 7
RAW = "application/octet-stream"
BODY = b"0123456789"


def frames(tool: str, first: int, count: int, content_type: str, body: bytes) -> list[bytes]:
    """Calls as a daemon sends them: each says that the ending before was heard."""
    named: Fields = [(Tag.TOOL, tool), (Tag.CONTENT_TYPE, content_type)]
    return [
        encode(Kind.CALL, call, meta([*named, (Tag.HEARD, call - 1)]), body)
        for call in range(first, first + count)
    ]


def round_trips(calls: socket.socket, datagrams: list[bytes]) -> float:
    """Microseconds a call."""
    buffer = bytearray(MAX_FRAME)
    send, receive = calls.send, calls.recv_into
    begun = time.perf_counter()
    for datagram in datagrams:
        send(datagram)
        receive(buffer)
    return (time.perf_counter() - begun) / len(datagrams) * 1e6


def worker(worker: Worker, tool: str, count: int, content_type: str, body: bytes) -> float:
    best = float("inf")
    for number in range(ROUNDS):
        datagrams = frames(tool, 1 + number * count, count, content_type, body)
        best = min(best, round_trips(worker.calls, datagrams))
    return best


def bare(count: int) -> float:
    """The floor: a process that sends back what it receives."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        ours.close()
        buffer = bytearray(MAX_FRAME)
        while size := theirs.recv_into(buffer):
            theirs.send(memoryview(buffer)[:size])
        os._exit(0)
    theirs.close()
    datagrams = frames("echo", 1, count, RAW, BODY)
    best = min(round_trips(ours, datagrams) for _ in range(ROUNDS))
    ours.close()
    os.waitpid(child, 0)
    return best


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    print(f"bare echo on a socketpair          {bare(count):7.1f} µs a round trip")
    with ready() as one:
        print(f"sync tool, raw bytes               {worker(one, 'echo', count, RAW, BODY):7.1f} µs")
    with ready() as one:
        json = worker(one, "add", count, "application/json", b'{"a":1,"b":2}')
        print(f"sync tool, JSON by name            {json:7.1f} µs")
    with ready("asynchronous") as one:
        print(f"async tool, one seat, raw bytes    {worker(one, 'echo', count, RAW, BODY):7.1f} µs")
    with ready(seats=4) as one:
        print(f"sync tool, four seats, raw bytes   {worker(one, 'echo', count, RAW, BODY):7.1f} µs")


if __name__ == "__main__":
    main()
