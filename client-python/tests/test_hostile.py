"""What no good daemon would send: the worker leaves with a sentence, or goes on. It never hangs."""

from __future__ import annotations

import socket
import unittest

from sidewinder._frames import CRITICAL, MAX_FRAME, MORE, Kind, Tag, encode, meta

from .driver import ENDINGS, Worker, ready, text

ADD = meta([(Tag.TOOL, "add")])


class Hostile(unittest.TestCase):
    def broken(self, worker: Worker, says: str) -> None:
        self.assertEqual(worker.status(), 4)
        self.assertIn("the protocol was broken", worker.stderr())
        self.assertRegex(worker.stderr(), says)

    def test_frames_that_cannot_be_read(self) -> None:
        for datagram, says in [
            (b"\1", "1 bytes"),
            (encode(Kind.CALL, 1, ADD)[:30], "meta has"),
            (b"\1" * (MAX_FRAME + 1), "larger than"),
            (b"\1" * (MAX_FRAME + 9000), "larger than"),
            (b"\2" + encode(Kind.CALL, 1, ADD)[1:], "version 2"),
            (encode(200, 1), "kind 200"),
            (encode(Kind.ANSWER, 1), "kind 65"),
            (encode(Kind.CALL, 1, ADD, flags=8), "flags"),
            (encode(Kind.CREDIT, 1, meta([(CRITICAL | 5, "x")])), "critical"),
            (encode(Kind.CALL, 1, meta([(Tag.TOOL, b"\xff")])), "UTF-8"),
            (encode(Kind.CALL, 1, meta([(Tag.TOOL, "add"), (Tag.DEADLINE, b"soon")])), "4 bytes"),
            (encode(Kind.CALL, 1, meta([(Tag.TOOL, "add"), (Tag.ATTEMPT, b"third")])), "5 bytes"),
            (encode(Kind.CALL, 1, b"", b"x", piece=3), "beginning never came"),
        ]:
            with self.subTest(says=says), ready() as worker:
                worker.calls.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
                worker.calls.send(datagram)
                self.broken(worker, says)

    def test_control_frames_that_cannot_be_read(self) -> None:
        for datagram, says in [
            (b"\1", "1 bytes"),
            (encode(Kind.CALL, 1, ADD), "kind 1 on the control"),
            (encode(Kind.PING, 0, meta([(Tag.PING, b"x")])), "1 bytes"),
            (encode(Kind.PING, 0, meta([(CRITICAL | 5, b"x")])), "critical"),
        ]:
            with self.subTest(says=says), ready() as worker:
                worker.control.send(datagram)
                self.broken(worker, says)

    def test_an_unknown_field_is_skipped_and_a_critical_one_refuses_its_call(self) -> None:
        with ready() as worker:
            self.assertEqual(worker.value("add", [1], fields=[(999, "x")]), 2)
            frame = worker.call("add", [1], fields=[(CRITICAL | 999, "x")])
            self.assertEqual((frame.kind, text(frame, Tag.REASON)), (Kind.REJECTED, "UNSUPPORTED"))
            self.assertEqual(worker.value("add", [1]), 2)

    def test_a_body_without_end(self) -> None:
        with ready(max_message=1 << 20) as worker:
            worker.calls.send(encode(Kind.CALL, 1, ADD, b"x" * 100_000, MORE))
            try:
                for piece in range(1, 100):
                    worker.calls.send(encode(Kind.CALL, 1, b"", b"x" * 100_000, MORE, piece))
            except ConnectionError:
                pass
            self.broken(worker, "larger than 1048576")

    def test_bodies_that_are_never_finished(self) -> None:
        with ready() as worker:
            try:
                for call in range(1, 100):
                    worker.calls.send(encode(Kind.CALL, call, ADD, b"x", MORE))
            except ConnectionError:
                pass
            self.broken(worker, "more than 64 messages")

    def test_a_flood_of_calls_is_answered_call_by_call(self) -> None:
        for seats in (1, 2):
            with ready(seats=seats) as worker:
                worker.calls.setblocking(False)
                sent, answered = 0, 0
                while answered < 5000:
                    try:
                        while sent < 5000:
                            worker.calls.send(encode(Kind.CALL, sent + 1, ADD, b"[1]"))
                            sent += 1
                    except BlockingIOError:
                        pass
                    self.assertIn(worker.hear(worker.calls).kind, ENDINGS)
                    answered += 1
                worker.calls.setblocking(True)
                worker.ping()

    def test_a_call_that_comes_twice(self) -> None:
        with ready(seats=2) as worker:
            worker.say(Kind.CALL, 1, [(Tag.TOOL, "polls")])
            worker.logged()
            worker.say(Kind.CALL, 1, [(Tag.TOOL, "polls")])
            self.broken(worker, "came twice")

    def test_a_flood_of_mentions_is_dropped_and_pings_are_answered(self) -> None:
        with ready() as worker:
            self.assertIsNone(worker.value("says", [20_000]))
            worker.ping(7)

    def test_a_welcome_that_is_none(self) -> None:
        for datagram, says in [
            (encode(Kind.PING), "welcome was expected"),
            (encode(Kind.WELCOME, 0, meta([(Tag.NEWEST, 2)])), "welcome to version 2"),
            (encode(Kind.WELCOME), "welcome to version"),
            (b"x", "1 bytes"),
        ]:
            with self.subTest(says=says), Worker(welcome=False) as worker:
                worker.control.send(datagram)
                self.broken(worker, says)
