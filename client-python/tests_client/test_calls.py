"""Calls that go well, through the real daemon: values, options, streams, inputs."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import unittest
from collections.abc import Iterator
from datetime import datetime, timezone
from unittest import mock

import sidewinder

from . import ROOM
from .daemon import Daemon, busy, eventually, stands_still, text

MEGA = 1024 * 1024


class Values(unittest.TestCase):
    daemon: Daemon
    client: sidewinder.Client

    @classmethod
    def setUpClass(cls) -> None:
        cls.daemon = Daemon()
        cls.client = cls.daemon.client()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.client.close()
        cls.daemon.close()

    def test_arguments_by_name_by_place_and_as_a_mapping(self) -> None:
        self.assertEqual(self.client.call("add", a=40), 42)
        self.assertEqual(self.client.call("add", {"a": 40, "b": 1}), 41)
        self.assertEqual(self.client.call("add", [1, 2]), 3)
        self.assertEqual(self.client.call("count", until=3), [0, 1, 2])

    def test_names_of_options_can_be_arguments(self) -> None:
        self.assertEqual(self.client.call("wait", {"timeout": 0, "pool": "x"}, timeout=5), "waited in x")

    def test_values_come_back_as_they_went(self) -> None:
        value = {"text": "ü", "list": [1, 2.5, None, True], "deep": {"": {}}}
        moment = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=timezone.utc)
        self.assertEqual(self.client.call("echo", [value]), value)
        more = {**value, "bytes": b"\x00\xff", "when": moment, "big": 2**64 - 1}
        self.assertEqual(self.client.call("echo", {"value": more}, content_type="msgpack"), more)
        self.assertEqual(self.client.call("reverse", b"abc"), b"cba")
        self.assertEqual(list(self.client.stream("echo", {"value": more}, content_type="msgpack")), [more])
        with self.daemon.client(content_type="msgpack") as packed:
            self.assertEqual(packed.call("echo", value=b"x"), b"x")
            self.assertEqual(packed.call("reverse", b"abc"), b"cba")

    def test_what_came_along_reaches_the_tool(self) -> None:
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        said = self.client.call("surroundings", timeout=30, metadata={"who": "me"}, traceparent=trace)
        self.assertEqual((said["metadata"], said["traceparent"]), ({"who": "me"}, trace))
        self.assertTrue(20 < said["remaining"] <= 31, said)
        self.assertIsNone(self.client.call("surroundings")["remaining"])

    def test_large_messages_go_both_ways(self) -> None:
        body = os.urandom(MEGA) * 60
        self.assertEqual(self.client.call("reverse", body), body[::-1])
        # The largest answer that a worker may give.
        self.assertEqual(
            len(self.client.call("zeros", {"size": 64 * MEGA - 16}, content_type="msgpack")), 64 * MEGA - 16
        )
        with self.assertRaises(sidewinder.BadRequest) as refused:
            self.client.call("reverse", bytes(64 * MEGA))
        self.assertEqual(refused.exception.reason, "TOO_LARGE")

    def test_inputs_are_taken_and_answered(self) -> None:
        self.assertEqual(self.client.upload("total", [1, 2, 3]), 6)
        self.assertEqual(self.client.upload("total", iter([1, 2]), {"start": 10}), 13)
        self.assertEqual(self.client.upload("total", (), start=4), 4)
        chunks = [b"a", b"", b"bc"]
        self.assertEqual(self.client.upload("join", chunks, content_type="msgpack"), b"abc")
        self.assertEqual(self.client.upload("join", chunks, content_type="bytes"), b"abc")
        self.assertEqual(list(self.client.converse("double", range(100))), [2 * n for n in range(100)])

    def test_a_conversation_goes_back_and_forth(self) -> None:
        said: list[int] = [1]
        more = threading.Event()

        def inputs() -> Iterator[int]:
            while said[-1] < 100:
                yield said[-1]
                more.wait(20)
                more.clear()

        with self.client.converse("double", inputs()) as items:
            for item in items:
                said.append(item)
                more.set()
        self.assertEqual(said, [1, 2, 4, 8, 16, 32, 64, 128])

    def test_inputs_that_fail_cancel_the_call_and_are_what_is_raised(self) -> None:
        def broken() -> Iterator[int]:
            yield 1
            raise KeyError("mine")

        quiet = mock.patch("logging.Logger.exception", side_effect=AssertionError("gRPC complained"))
        with quiet, self.assertRaisesRegex(KeyError, "mine"):
            self.client.upload("total", broken())
        with self.assertRaisesRegex(KeyError, "mine"):
            list(self.client.converse("double", broken()))
        with self.assertRaisesRegex(TypeError, "JSON cannot carry"):
            self.client.upload("total", [1, object()])
        self.assertEqual(self.client.call("add", a=1), 3)

    def test_a_slow_tool_slows_the_inputs(self) -> None:
        note = self.daemon.folder / "taken"
        given = 0

        def inputs() -> Iterator[bytes]:
            nonlocal given
            while True:
                given += 1
                yield bytes(MEGA // 2)

        with self.assertRaises(TimeoutError):
            self.client.upload("take", inputs(), {"note": str(note)}, content_type="msgpack", timeout=1.5)
        # At 20 a second it takes 30 at most; what waits between us and it is bounded.
        taken = len(text(note))
        self.assertGreater(taken, 2)
        self.assertLess(given, taken + 60)

    def test_the_daemon_is_seen(self) -> None:
        self.client.call("add", a=1)
        daemon = self.client.describe()
        self.assertEqual((daemon.version, len(daemon.run)), (sidewinder.__version__, 32))
        self.assertIn(daemon.tier, ("A", "B", "C"))
        (pool,) = self.client.pools()
        self.assertEqual((pool.name, pool.phase, pool.seats), ("default", "serving", 1))
        assert pool.size is not None
        self.assertEqual((pool.size.min, pool.size.max), (1, 1))
        (worker,) = self.client.workers("default")
        self.assertEqual((worker.pool, worker.slot, worker.state), ("default", 0, "running"))
        self.assertGreater(worker.served, 0)
        add = next(tool for tool in self.client.tools(["default"]) if tool.name == "add")
        self.assertEqual((add.doc, add.returns, add.stream), ("Adds.", "int", False))
        self.assertEqual(
            [(p.name, p.required, p.default_json) for p in add.parameters],
            [("a", True, None), ("b", False, "2")],
        )
        with self.assertRaises(sidewinder.BadRequest) as wrong:
            self.client.pools(["other"])
        self.assertEqual(wrong.exception.reason, "UNKNOWN_POOL")


class Streams(unittest.TestCase):
    def setUp(self) -> None:
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.client = self.daemon.client()
        self.addCleanup(self.client.close)
        self.note = self.daemon.folder / "note"

    def test_items_come_one_by_one(self) -> None:
        items = self.client.stream("count", until=1000)
        self.assertEqual(next(items), 0)
        self.assertEqual(list(items), list(range(1, 1000)))
        self.assertEqual(list(items), [])

    def test_a_slow_reader_stops_the_tool_and_closing_frees_it(self) -> None:
        pid = self.client.call("who")
        block = {"size": 100_000, "note": str(self.note)}
        items = self.client.stream("blocks", block, content_type="msgpack")
        self.assertEqual(len(next(items)), 100_000)
        seen: list[int] = []
        # Nobody reads. It runs until every window between it and us is full.
        eventually(
            lambda: stands_still(self.client.dump_stacks("default"), seen, self.note), "the tool stands still"
        )
        self.assertLess(seen[-1], 200)
        for _ in range(seen[-1] + 1):
            next(items)
        self.assertGreater(len(text(self.note)), seen[-1])
        items.close()
        self.assertEqual(list(items), [])
        self.assertEqual(self.client.call("who", timeout=20), pid)

    def test_a_stream_that_is_left_or_lost_is_cancelled(self) -> None:
        pid = self.client.call("who")
        with self.client.stream("count", until=10_000_000) as items:
            for item in items:
                if item == 3:
                    break
        self.assertEqual(self.client.call("who", timeout=20), pid)
        items = self.client.stream("count", until=10_000_000)
        next(items)
        del items
        gc.collect()
        self.assertEqual(self.client.call("who", timeout=20), pid)

    def test_another_thread_may_close_a_stream(self) -> None:
        items = self.client.stream("until_cancelled", file=str(self.note))

        def close() -> None:
            eventually(lambda: text(self.note) == "runs", "it runs")
            items.close()

        closer = threading.Thread(target=close)
        closer.start()
        self.assertEqual(list(items), [])
        closer.join()
        eventually(lambda: text(self.note) == "cancelled", "the tool is cancelled")

    def test_what_is_raised_between_items_comes_after_them(self) -> None:
        got = []
        with self.assertRaises(sidewinder.Raised) as raised:
            for item in self.client.stream("stumble", after=3):
                got.append(item)
        self.assertEqual((got, raised.exception.exception), ([0, 1, 2], "LookupError"))

    def test_a_deadline_holds_for_the_whole_stream(self) -> None:
        with self.assertRaises(TimeoutError):
            for _ in self.client.stream("count", until=10_000_000, timeout=0.3):
                pass
        self.assertEqual(self.client.call("add", a=1, timeout=20), 3)


class Interrupts(unittest.TestCase):
    SCRIPT = """
import sys, sidewinder
client = sidewinder.Client(sys.argv[1])
try:
    if sys.argv[2] == "call":
        client.call("until_cancelled", file=sys.argv[3])
    else:
        list(client.stream("until_cancelled", file=sys.argv[3]))
except KeyboardInterrupt:
    client.call("add", a=1)  # the client is as good as before
    print("interrupted")
"""

    def test_ctrl_c_cancels_the_call(self) -> None:
        with Daemon(workers=1) as daemon, daemon.client() as client:
            for how in ("call", "stream"):
                note = daemon.folder / how
                process = subprocess.Popen(
                    [sys.executable, "-c", self.SCRIPT, str(daemon.socket), how, str(note)],
                    env={**os.environ, "PYTHONPATH": str(ROOM / "src")},
                    stdout=subprocess.PIPE,
                    text=True,
                )
                eventually(lambda note=note: text(note) == "runs", "it runs")  # type: ignore[misc]
                process.send_signal(signal.SIGINT)
                self.assertEqual(process.communicate(timeout=20)[0], "interrupted\n")
                self.assertEqual(text(note), "cancelled")
                eventually(lambda: busy(client) == 0, "the worker is free")


if __name__ == "__main__":
    unittest.main()
