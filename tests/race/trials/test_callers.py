"""Both clients of HTTP against servers as the peers are: some keep a connection, some close it."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import unittest
from io import BufferedReader

from measures.echo import driver
from speak.caller import CallFailedError, call
from speak.over_http import HttpCaller

WAIT_S = 10.0


class Server:
    """Answers each request with the same words, and closes each connection after so many."""

    def __init__(self, answer: bytes, requests: int) -> None:
        self.answer, self.requests = answer, requests
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        """One connection after the other, until the listener is shut."""
        while True:
            try:
                line, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with line, line.makefile("rb") as words:
                for _ in range(self.requests):
                    if not read(words):
                        break
                    line.sendall(self.answer)

    def end(self) -> None:
        """Nobody is served any more."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(WAIT_S)


def read(words: BufferedReader) -> bool:
    """One request; false at the end of the connection."""
    length = 0
    while (head := words.readline()) not in (b"\r\n", b""):
        if head.lower().startswith(b"content-length:"):
            length = int(head.split(b":")[1])
    return bool(head) and len(words.read(length)) == length


class Callers(unittest.TestCase):
    """Each answer is understood, and what is wrong with it is said."""

    def serve(self, answer: bytes, requests: int = 1) -> Server:
        """A server for the length of a test."""
        server = Server(answer, requests)
        self.addCleanup(server.end)
        return server

    def drive(self, server: Server, *options: str) -> dict[str, object]:
        """What the compiled client saw."""
        command = [driver(), "--drive", f"http://127.0.0.1:{server.port}/", "--seconds", "0.05", *options]
        said = subprocess.run(command, check=True, capture_output=True, timeout=WAIT_S).stdout
        seen: dict[str, object] = json.loads(said)
        return seen

    def test_a_connection_is_kept_if_the_server_keeps_it(self) -> None:
        server = self.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\neeeeeeeeee", requests=1_000_000)
        seen = self.drive(server)
        self.assertEqual((seen["errors"], server.connections), (0, 1))
        self.assertGreater(int(str(seen["calls"])), 1)
        self.assertEqual(call(HttpCaller(server.port, "/", json=False), b"e", WAIT_S), b"e" * 10)

    def test_another_one_is_made_if_the_server_closes_it(self) -> None:
        for answer in (
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\neeeeeeeeee",
            b"HTTP/1.1 200 OK\r\n\r\neeeeeeeeee",
            b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\neeeeeeeeee",
        ):
            server = self.serve(answer)
            seen = self.drive(server)
            self.assertEqual((seen["errors"], seen["calls"]), (0, server.connections), answer)
            self.assertEqual(call(HttpCaller(server.port, "/", json=False), b"e", WAIT_S), b"e" * 10)

    def test_a_refusal_is_told(self) -> None:
        server = self.serve(b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(self.drive(server)["error"], "status 413")
        with self.assertRaisesRegex(CallFailedError, "status 413"):
            call(HttpCaller(server.port, "/", json=False), b"e", WAIT_S)

    def test_half_an_answer_is_none(self) -> None:
        short = self.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\neeee")
        self.assertEqual(self.drive(short)["error"], "another body came back")
        broken = self.serve(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\neeee")
        self.assertNotEqual(self.drive(broken)["error"], "")

    def test_json_is_wrapped_and_unwrapped(self) -> None:
        body = b'{"body": "eeeeeeeeee"}'
        server = self.serve(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body), 1_000_000)
        self.assertEqual(self.drive(server, "--in-json")["errors"], 0)
        self.assertEqual(call(HttpCaller(server.port, "/", json=True), b"e", WAIT_S), b"e" * 10)

    def test_nobody_there_is_told(self) -> None:
        server = Server(b"", 1)
        server.end()
        with self.assertRaisesRegex(CallFailedError, "connection refused"):
            call(HttpCaller(server.port, "/", json=False), b"e", WAIT_S)


if __name__ == "__main__":
    unittest.main()
