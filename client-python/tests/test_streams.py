"""Generators under credit, inputs under credit, and both at once."""

from __future__ import annotations

import json

from sidewinder._frames import Kind, Tag

from .driver import Worker, ready, text
from .test_calls import RAW, WithWorker


class Streams(WithWorker):
    def test_a_list_for_who_wants_one_answer(self) -> None:
        self.assertEqual(self.worker.value("count", [3]), [0, 1, 2])
        self.assertEqual(self.worker.value("count", [0]), [])
        self.assertEqual(self.worker.value("returns_iterator", [["a", "b"]]), ["A", "B"])
        self.assertEqual(self.worker.call("chunks", b"ab", content_type=RAW).body, b"aabb")

    def test_items_against_credit(self) -> None:
        call = self.worker.start("count", [5], credit=2)
        self.assertEqual([self.worker.next_item(call) for _ in range(2)], [0, 1])
        self.worker.ping()  # the control thread answers, and nothing more was said
        self.assertTrue(self.worker.silent(self.worker.calls))
        self.worker.credit(call, 3)
        self.assertEqual([self.worker.next_item(call) for _ in range(3)], [2, 3, 4])
        self.assertEqual(self.worker.ending(call).kind, Kind.END)

    def test_the_end_needs_no_credit(self) -> None:
        call = self.worker.start("count", [2], credit=2)
        self.assertEqual([self.worker.next_item(call) for _ in range(2)], [0, 1])
        self.assertEqual(self.worker.ending(call).kind, Kind.END)
        call = self.worker.start("count", [0], credit=1)
        self.assertEqual(self.worker.ending(call).kind, Kind.END)

    def test_one_value_as_a_stream(self) -> None:
        call = self.worker.start("add", [1], credit=1)
        self.assertEqual(self.worker.next_item(call), 2)
        self.assertEqual(self.worker.ending(call).kind, Kind.END)

    def test_a_generator_that_raises_midway(self) -> None:
        call = self.worker.start("fails_midway", [1], credit=5)
        self.assertEqual(self.worker.next_item(call), 0)
        self.raised(self.worker.ending(call), "LookupError", "no more")
        self.raised(self.worker.call("fails_midway", [1]), "LookupError", "no more")

    def test_a_waiting_generator_is_cancelled(self) -> None:
        call = self.worker.start("cleans_up", credit=1)
        self.assertEqual(self.worker.next_item(call), 1)
        self.worker.cancel(call)
        self.assertEqual(self.worker.logged(), "cleaned up")
        self.assertEqual(self.worker.ending(call).first(Tag.CANCELLED), b"1")

    def test_no_second_call_on_the_only_seat(self) -> None:
        call = self.worker.start("count", [2], credit=1)
        self.worker.next_item(call)
        self.rejected(self.worker.call("add", [1]), "BUSY", "all 1 seats")
        self.worker.credit(call, 9)
        self.worker.next_item(call)
        self.worker.ending(call)

    def test_frames_of_calls_that_ended_are_dropped(self) -> None:
        self.worker.credit(999, 5)
        self.worker.say(Kind.ITEM_IN, 999, body=b"1")
        self.worker.say(Kind.END_IN, 999)
        self.assertEqual(self.worker.value("add", [1]), 2)


class Inputs(WithWorker):
    def wanted(self, worker: Worker, call: int, items: int) -> None:
        frame = worker.hear(worker.calls)
        self.assertEqual((frame.kind, frame.call, frame.number(Tag.CREDIT)), (Kind.WANT, call, items))

    def test_inputs_and_items_at_once(self) -> None:
        for tools, seats in [("plain", 1), ("plain", 2), ("asynchronous", 1)]:
            with self.subTest(tools=tools, seats=seats), ready(tools, seats=seats) as worker:
                call = worker.start("totals", credit=100, stream_in=True)
                self.wanted(worker, call, 8)
                for number, total in [(1, 1), (2, 3), (3, 6), (4, 10)]:
                    worker.say(Kind.ITEM_IN, call, body=json.dumps(number).encode())
                    self.assertEqual(worker.next_item(call), total)
                self.wanted(worker, call, 4)
                worker.say(Kind.END_IN, call)
                self.assertEqual(worker.ending(call).kind, Kind.END)

    def test_a_call_without_inputs(self) -> None:
        self.assertEqual(self.worker.value("totals"), [])
        self.raised(self.worker.call("first_input"), "StopIteration", "")

    def test_a_tool_that_takes_none(self) -> None:
        self.rejected(self.worker.call("add", [1], stream_in=True), "NOT_A_STREAM", "no context")

    def test_a_bad_input_is_the_tools_to_handle(self) -> None:
        call = self.worker.start("first_input", stream_in=True)
        self.wanted(self.worker, call, 8)
        self.worker.say(Kind.ITEM_IN, call, body=b"{")
        self.raised(self.worker.ending(call), "sidewinder.BadPayloadError", "not JSON")

    def test_a_waiting_tool_is_cancelled(self) -> None:
        call = self.worker.start("totals", credit=1, stream_in=True)
        self.wanted(self.worker, call, 8)
        self.worker.cancel(call, "enough")
        frame = self.worker.ending(call)
        self.assertEqual((frame.first(Tag.CANCELLED), text(frame, Tag.MESSAGE)), (b"1", "enough"))

    def test_inputs_that_nobody_asked_for(self) -> None:
        with ready() as worker:
            call = worker.start("totals", credit=1, stream_in=True)
            self.wanted(worker, call, 8)
            for _ in range(10):
                worker.say(Kind.ITEM_IN, call, body=b"0")
            self.assertEqual(worker.status(), 4)
            self.assertIn("did not ask for", worker.stderr())
