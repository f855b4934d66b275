"""Several seats: async tools on one event loop, sync tools in threads beside it."""

from __future__ import annotations

import json
import unittest

from sidewinder._frames import Kind, Tag

from .driver import ready, text
from .test_calls import RAW


class Seats(unittest.TestCase):
    def test_async_calls_meet(self) -> None:
        with ready("asynchronous", seats=2) as worker:
            first, second = worker.start("meets", ["here"]), worker.start("meets", ["here"])
            frames = [worker.hear(worker.calls) for _ in range(2)]
            said = {frame.call: json.loads(frame.body) for frame in frames}
            self.assertEqual(said, {first: "came first", second: "came second"})

    def test_sync_calls_run_beside_each_other(self) -> None:
        with ready(seats=3) as worker:
            calls = [worker.start("spin") for _ in range(3)]
            self.assertEqual([worker.logged() for _ in calls], ["spinning"] * 3)
            busy = worker.call("add", [1])
            self.assertEqual(text(busy, Tag.REASON), "BUSY")
            worker.cancel(calls[1])
            self.assertEqual(worker.ending(calls[1]).first(Tag.CANCELLED), b"1")
            self.assertEqual(worker.value("add", [1]), 2)
            for call in (calls[0], calls[2]):
                worker.cancel(call)
                self.assertEqual(worker.ending(call).first(Tag.CANCELLED), b"1")

    def test_a_seat_is_free_when_its_ending_is_heard(self) -> None:
        for tools in ("plain", "asynchronous"):
            with ready(tools, seats=2) as worker:
                worker.start("polls" if tools == "plain" else "waits")
                worker.logged()
                for _ in range(500):
                    self.assertEqual(worker.call("echo", b"x", content_type=RAW).body, b"x")

    def test_sync_and_async_on_one_seat(self) -> None:
        with ready("asynchronous") as worker:
            for tool in ("echo", "plainly"):
                self.assertEqual(worker.call(tool, b"x", content_type=RAW).body, b"x")
            self.assertEqual(worker.value("named"), "named")

    def test_async_streams(self) -> None:
        with ready("asynchronous", seats=2) as worker:
            self.assertEqual(worker.value("count", [3]), [0, 1, 2])
            call = worker.start("count", [3], credit=1)
            self.assertEqual(worker.next_item(call), 0)
            self.assertEqual(worker.call("echo", b"x", content_type=RAW).body, b"x")
            worker.credit(call, 2)
            self.assertEqual([worker.next_item(call), worker.next_item(call)], [1, 2])
            self.assertEqual(worker.ending(call).kind, Kind.END)
            one = worker.start("echo", ["x"], credit=1)
            self.assertEqual(worker.next_item(one), "x")
            self.assertEqual(worker.ending(one).kind, Kind.END)

    def test_async_failures(self) -> None:
        with ready("asynchronous") as worker:
            frame = worker.call("exits", ["now"])
            self.assertEqual((text(frame, Tag.TYPE), text(frame, Tag.MESSAGE)), ("SystemExit", "now"))
            self.assertIsNone(worker.value("exits", ["task"]))
            self.assertEqual(worker.call("echo", b"x", content_type=RAW).body, b"x")
            wrong = worker.call("wrong_way")
            self.assertEqual(text(wrong, Tag.MESSAGE), "this tool is async: use `async for`")

    def test_a_reader_that_pauses_holds_up_only_its_call(self) -> None:
        """Answers larger than the socket: the loop goes on while a thread waits for room."""
        body = bytes(3 << 20)
        for tools in ("plain", "asynchronous"):
            with ready(tools, seats=2) as worker:
                both = {worker.start("echo", body, content_type=RAW) for _ in range(2)}
                worker.ping()
                frames = [worker.hear(worker.calls) for _ in range(2)]
                self.assertEqual({frame.call for frame in frames}, both)
                self.assertTrue(all(frame.body == body for frame in frames))
