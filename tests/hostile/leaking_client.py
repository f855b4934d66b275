"""A client that attaches, and whose child holds its socket open when it is killed.

Speaks just enough HTTP/2 by hand: the preface, empty settings, the headers of Clients.Attach, and a hello.
Prints the process id of the child once the daemon has answered.
"""

from __future__ import annotations

import os
import socket
import sys
import time

HEADERS = [
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/sidewinder.v1.Clients/Attach"),
    (b":authority", b"localhost"),
    (b"content-type", b"application/grpc"),
    (b"te", b"trailers"),
]


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame of HTTP/2."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(text: bytes) -> bytes:
    """A short string, without Huffman."""
    return bytes([len(text)]) + text


def main() -> None:
    """Attaches, forks, and stays."""
    block = b"".join(b"\x00" + literal(name) + literal(value) for name, value in HEADERS)
    hello = b"\x0a\x05leaky\x1a\x03run"
    message = b"\x0a" + bytes([len(hello)]) + hello
    body = b"\x00" + len(message).to_bytes(4, "big") + message
    wire = socket.socket(socket.AF_UNIX)
    wire.connect(sys.argv[1])
    wire.sendall(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(4, 0, 0, b"")
        + frame(1, 4, 1, block)
        + frame(0, 0, 1, body)
    )
    wire.recv(4096)
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    time.sleep(60)


if __name__ == "__main__":
    main()
