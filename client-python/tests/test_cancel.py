"""Cancelling: each step of the ladder, and that no step ever hits another call."""

from __future__ import annotations

import re
import signal
import time
import unittest

from sidewinder._frames import Frame, Kind, Tag

from .driver import PATIENCE, Worker, ready, text
from .test_calls import RAW


class Cancelling(unittest.TestCase):
    def gave_up(self, frame: Frame, says: str = "nobody waits") -> None:
        self.assertEqual((frame.kind, frame.first(Tag.CANCELLED)), (Kind.RAISED, b"1"), frame)
        self.assertEqual(text(frame, Tag.TYPE), "sidewinder.Cancelled")
        self.assertEqual(text(frame, Tag.MESSAGE), says)

    def started(self, worker: Worker, tool: str) -> int:
        call = worker.start(tool)
        worker.logged()
        return call

    def test_a_tool_that_computes(self) -> None:
        for seats in (1, 3):
            with ready(seats=seats) as worker:
                call = self.started(worker, "spin")
                worker.cancel(call)
                self.gave_up(worker.ending(call))
                self.assertEqual(worker.value("add", [1]), 2)

    def test_a_tool_that_asks(self) -> None:
        with ready() as worker:
            call = self.started(worker, "polls")
            worker.cancel(call)
            self.gave_up(worker.ending(call))

    def test_a_deadline_that_a_tool_asks_for(self) -> None:
        with ready() as worker:
            call = worker.start("polls", fields=[(Tag.DEADLINE, 1000)])
            self.gave_up(worker.ending(call), "the deadline has passed")

    def test_a_tool_that_goes_on(self) -> None:
        with ready() as worker:
            call = self.started(worker, "stubborn")
            worker.cancel(call)
            self.assertEqual(worker.ending(call).kind, Kind.ANSWER)
            self.assertEqual(worker.value("add", [1]), 2)

    def test_a_tool_that_waits_in_the_kernel(self) -> None:
        for tools in ("plain", "plain,mixed"):
            with ready(tools) as worker:
                for tool in ("sleeps", "waits_for_a_lock", "reads"):
                    call = self.started(worker, tool)
                    worker.asleep()
                    worker.cancel(call)
                    ending = worker.ending(call)
                    self.gave_up(ending)
                    frames = re.findall(r"File .*", text(ending, Tag.TRACEBACK))
                    self.assertRegex(frames[-1], f"plain.py.* in {tool}")
                    self.assertEqual(worker.value("add", [1]), 2)

    def test_tools_that_have_a_use_for_the_nudge_keep_it(self) -> None:
        with ready("urgent") as worker:
            call = self.started(worker, "tidies_up")
            worker.cancel(call)
            self.gave_up(worker.ending(call))
            self.assertEqual(worker.value("heard", []), 0, "it was told what means something else to it")

    def test_whoever_has_met_a_cancel_is_not_hit_again(self) -> None:
        with ready() as worker:
            for _ in range(20):
                call = self.started(worker, "cleans_up_slowly")
                worker.asleep()
                worker.cancel(call)
                self.assertEqual(worker.logged(), "cleaned up")
                self.gave_up(worker.ending(call))

    def test_the_interrupt_reaches_into_the_kernel(self) -> None:
        for tools in ("plain", "plain,mixed"):
            with ready(tools) as worker:
                call = self.started(worker, "sleeps")
                worker.cancel(call)
                worker.ping()  # the cancel came first
                worker.signal(signal.SIGINT)
                self.gave_up(worker.ending(call))
                self.assertEqual(worker.value("add", [1]), 2)

    def test_an_interrupt_alone(self) -> None:
        with ready() as worker:
            call = self.started(worker, "sleeps")
            worker.signal(signal.SIGINT)
            self.gave_up(worker.ending(call), "interrupted")
            worker.signal(signal.SIGINT)  # nothing runs: nothing happens
            worker.ping()
            self.assertEqual(worker.value("add", [1]), 2)

    def test_a_waiting_generator_is_interrupted(self) -> None:
        with ready() as worker:
            call = worker.start("cleans_up", credit=1)
            worker.next_item(call)
            worker.signal(signal.SIGINT)
            self.assertEqual(worker.ending(call).first(Tag.CANCELLED), b"1")

    def test_a_cancel_that_overtakes_its_call(self) -> None:
        with ready() as worker:
            worker.cancel(1)
            worker.ping()
            self.gave_up(worker.call("spin"))
            self.assertEqual(worker.value("add", [1]), 2)

    def test_a_cancel_of_what_has_ended(self) -> None:
        with ready() as worker:
            self.assertEqual(worker.value("add", [1]), 2)
            worker.cancel(1)
            worker.ping()
            self.assertEqual(worker.value("add", [1]), 2)

    def test_async_tools(self) -> None:
        for seats in (1, 2):
            with ready("asynchronous", seats=seats) as worker:
                call = self.started(worker, "waits")
                worker.cancel(call)
                self.assertEqual(worker.logged(), "cleaned up")
                self.gave_up(worker.ending(call))
                if seats == 1:
                    call = self.started(worker, "waits")
                    worker.signal(signal.SIGINT)
                    self.assertEqual(worker.logged(), "cleaned up")
                    self.gave_up(worker.ending(call), "interrupted")
                call = self.started(worker, "spins")
                worker.cancel(call)
                worker.ping()  # the cancel came first
                worker.signal(signal.SIGINT)
                self.gave_up(worker.ending(call))
                self.assertEqual(worker.call("echo", b"x", content_type=RAW).body, b"x")

    def test_a_strike_never_hits_a_later_call(self) -> None:
        """Every call is cancelled at once, in the instant in which it ends."""
        for seats in (1, 2):
            with ready(seats=seats) as worker:
                for _ in range(3000):
                    call = worker.start("add", [1])
                    worker.cancel(call)
                    frame = worker.ending(call)
                    if frame.kind != Kind.ANSWER:
                        self.gave_up(frame)
                    self.assertEqual(worker.value("add", [2]), 3)

    def test_sigusr1_shows_every_thread(self) -> None:
        with ready() as worker:
            call = self.started(worker, "spin")
            for number in range(50):  # it is no danger to a healthy worker
                worker.signal(signal.SIGUSR1)
                worker.ping(number)
            seen = r"(?s)Stack .* in spin.*Thread .*control\.py.*Current thread .* in spin"
            until = time.monotonic() + PATIENCE
            while not re.search(seen, worker.stderr()):
                self.assertLess(time.monotonic(), until, worker.stderr())
                worker.ping()
            worker.cancel(call)
            worker.ending(call)
