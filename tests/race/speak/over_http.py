"""Calls over HTTP/1.1: a connection for each, as gunicorn and uWSGI close theirs after each."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass

from speak.caller import CallFailedError

CONNECT_S = 1.0


@dataclass
class HttpCaller:
    """POSTs to one path on the loopback."""

    port: int
    path: str
    json: bool

    def begin(self, body: bytes) -> HttpCall:
        """Sends all of the request."""
        sent = json.dumps({"body": body.decode()}).encode() if self.json else body
        kind = "application/json" if self.json else "application/octet-stream"
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
            f"Content-Length: {len(sent)}\r\nConnection: close\r\n\r\n"
        )
        try:
            line = socket.create_connection(("127.0.0.1", self.port), timeout=CONNECT_S)
        except OSError as error:
            raise CallFailedError(words(error)) from error
        try:
            line.sendall(head.encode() + sent)
        except OSError as error:
            line.close()
            raise CallFailedError(words(error)) from error
        return HttpCall(line, self.json)

    def close(self) -> None:
        """No connection outlives its call."""


@dataclass
class HttpCall:
    """One request that was sent."""

    line: socket.socket
    json: bool

    def answer(self, seconds: float) -> bytes:
        """Reads until the server closes, or the length is there."""
        until = time.monotonic() + seconds
        said = b""
        try:
            while not complete(said):
                self.line.settimeout(max(0.001, until - time.monotonic()))
                more = self.line.recv(1 << 16)
                if not more:
                    break
                said += more
        except OSError as error:
            raise CallFailedError(words(error)) from error
        head, _, body = said.partition(b"\r\n\r\n")
        if not head:
            raise CallFailedError("connection closed")
        status = head.split(b" ", 2)[1].decode()
        if status != "200":
            raise CallFailedError(f"status {status}")
        return str(json.loads(body)["body"]).encode() if self.json else body

    def hang_up(self) -> None:
        """Closes the connection."""
        self.line.close()


def complete(said: bytes) -> bool:
    """Whether the whole answer is there, for servers that keep the connection all the same."""
    head, found, body = said.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n")[1:] if found else []:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return len(body) >= int(value)
    return False


def words(error: OSError) -> str:
    """An error of the system in two words."""
    if isinstance(error, TimeoutError):
        return "nothing"
    known = {ConnectionRefusedError: "connection refused", ConnectionResetError: "connection reset"}
    return next((said for kind, said in known.items() if isinstance(error, kind)), str(error))
