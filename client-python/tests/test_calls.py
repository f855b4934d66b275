"""Calls of sync tools: arguments, answers, and every ending that an exception can have."""

from __future__ import annotations

import json
import unittest

from sidewinder._frames import Frame, Kind, Tag
from sidewinder._values import MSGPACK

from .driver import Worker, ready, text

RAW = "application/octet-stream"


class WithWorker(unittest.TestCase):
    """One worker for a class of tests: what one call does must not matter to the next."""

    TOOLS = "plain"
    worker: Worker

    @classmethod
    def setUpClass(cls) -> None:
        cls.worker = ready(cls.TOOLS)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.worker.__exit__(None, None, None)

    def rejected(self, frame: Frame, reason: str, says: str) -> None:
        self.assertEqual((frame.kind, text(frame, Tag.REASON)), (Kind.REJECTED, reason), frame)
        self.assertRegex(text(frame, Tag.MESSAGE), says)

    def raised(self, frame: Frame, kind: str, says: str) -> Frame:
        self.assertEqual((frame.kind, text(frame, Tag.TYPE)), (Kind.RAISED, kind), frame)
        self.assertRegex(text(frame, Tag.MESSAGE), says or "^$")
        self.assertIsNone(frame.first(Tag.CANCELLED))
        return frame


class Arguments(WithWorker):
    def test_by_name_and_by_place(self) -> None:
        for tool, arguments, answer in [
            ("add", {"a": 1, "b": 2}, 3),
            ("add", {"a": 1}, 2),
            ("add", [1, 2], 3),
            ("add", [1], 2),
            ("named", {"key": "x"}, "x"),
            ("placed", {"a": 1}, [1, 2, 3]),
            ("placed", {"a": 1, "c": 5}, [1, 2, 5]),
            ("placed", [9, 8, 7, 6, 5], [9, 8, 7, 6, 5]),
            ("options", {"first": 1, "second": 2}, {"first": 1, "second": 2}),
            ("prints", {}, None),
            ("prints", [], None),
            ("prints", None, None),
            ("prints", b"", None),
        ]:
            self.assertEqual(self.worker.value(tool, arguments), answer, (tool, arguments))

    def test_wrong_ones_are_explained(self) -> None:
        for tool, arguments, says in [
            ("add", {}, r"^missing: a \(the tool takes a, b\?\)$"),
            ("add", {"a": 1, "c": 2}, r"^unexpected: c \(the tool takes"),
            ("named", {"kay": 1}, r"^unexpected: kay \(did you mean key\?\)"),
            ("add", [1, 2, 3], "3 arguments, at most 2"),
            ("add", "text", "as a map or an array, not as str"),
            ("named", ["x"], "1 arguments, at most 0"),
            ("about", {"ctx": 1}, r"unexpected: ctx \(the tool takes no arguments\)"),
            ("add", {"x" * 5000: 1}, "unexpected: x{100}…"),
            ("add", {str(n): 1 for n in range(100)}, "and 95 more"),
        ]:
            self.rejected(self.worker.call(tool, arguments), "BAD_ARGUMENTS", says)
        odd = self.worker.call("add", MSGPACK.encode({1: 2}), content_type="application/msgpack")
        self.rejected(odd, "BAD_ARGUMENTS", "a text, not int")

    def test_payloads_that_are_none(self) -> None:
        for body, content_type, reason, says in [
            (b"{", None, "BAD_PAYLOAD", "not JSON"),
            (b"[" * 100_000, None, "BAD_PAYLOAD", "too deeply"),
            (b"\xff", None, "BAD_PAYLOAD", "not UTF-8"),
            (b"\xc1", "application/msgpack", "BAD_PAYLOAD", "not MessagePack"),
            (b"{}", "text/plain", "BAD_CONTENT_TYPE", "text/plain is not understood"),
            (b"abc", RAW, "BAD_ARGUMENTS", "named body"),
        ]:
            tool = "about" if reason == "BAD_ARGUMENTS" else "options"
            self.rejected(self.worker.call(tool, body, content_type=content_type), reason, says)

    def test_unknown_tool(self) -> None:
        self.rejected(self.worker.call("ad"), "UNKNOWN_TOOL", r"ad \(did you mean add\?\)")
        self.rejected(self.worker.call("é" * 60_000), "UNKNOWN_TOOL", "…")

    def test_content_types(self) -> None:
        packed = self.worker.call("echo", MSGPACK.encode([b"raw"]), content_type="application/msgpack")
        self.assertEqual(MSGPACK.decode(packed.body), b"raw")
        self.assertEqual(text(packed, Tag.CONTENT_TYPE), "application/msgpack")
        raw = self.worker.call("echo", b"\x00\xff", content_type=RAW)
        self.assertEqual((raw.body, text(raw, Tag.CONTENT_TYPE)), (b"\x00\xff", RAW))
        charset = self.worker.call("echo", b"[1]", content_type="application/json; charset=utf-8")
        self.assertEqual(json.loads(charset.body), 1)

    def test_large_bodies_travel_in_pieces(self) -> None:
        body = bytes(range(256)) * 4096
        self.assertEqual(self.worker.call("echo", body, content_type=RAW).body, body)

    def test_context(self) -> None:
        about = self.worker.value(
            "about",
            fields=[
                (Tag.DEADLINE, 60_000_000),
                (Tag.METADATA, "a=1"),
                (Tag.METADATA, "a=2"),
                (Tag.METADATA, "b=x=y"),
                (Tag.TRACEPARENT, "00-1-2-01"),
                (Tag.CLIENT, "shop"),
                (Tag.ATTEMPT, 3),
            ],
        )
        self.assertTrue(50 < about.pop("remaining") <= 60)
        self.assertTrue(about.pop("call"))
        self.assertEqual(
            about,
            {
                "metadata": {"a": "1,2", "b": "x=y"},
                "traceparent": "00-1-2-01",
                "attempt": 3,
                "client": "shop",
                "same": True,
            },
        )
        self.assertIsNone(self.worker.value("about")["remaining"])

    def test_mentions(self) -> None:
        self.worker.value("says")
        log, progress, beat = (next(self.worker.mentions()) for _ in range(3))
        self.assertEqual((log.kind, text(log, Tag.LEVEL)), (Kind.LOG, "warning"))
        self.assertEqual(text(log, Tag.MESSAGE), "hello")
        self.assertEqual((progress.kind, json.loads(progress.body)), (Kind.PROGRESS, {"half": 0.5}))
        self.assertEqual((beat.kind, beat.call), (Kind.HEARTBEAT, log.call))


class Failures(WithWorker):
    TOOLS = "failing"

    def tearDown(self) -> None:
        self.assertEqual(self.worker.value("fine"), "fine")

    def test_exceptions_are_answers(self) -> None:
        frame = self.raised(self.worker.call("raises"), "ValueError", r"not this value: \\ud800")
        notes = [value for tag, value in frame.fields if tag == Tag.NOTE]
        self.assertEqual(notes, [b"a note", b"another"])
        trace = text(frame, Tag.TRACEBACK)
        self.assertIn("in raises", trace)
        self.assertNotIn("_call", trace)

    def test_causes(self) -> None:
        trace = text(self.raised(self.worker.call("causes"), "RuntimeError", "because"), Tag.TRACEBACK)
        self.assertRegex(trace, r"(?s)KeyError: 'key'.*direct cause.*RuntimeError: because of it")

    def test_every_way_out(self) -> None:
        for tool, kind, says in [
            ("unprintable", "failing.UnprintableError", "could not be said: SystemExit"),
            ("exits", "SystemExit", "7"),
            ("interrupts", "KeyboardInterrupt", ""),
            ("recurses", "RecursionError", "maximum recursion depth"),
            ("allocates", "MemoryError", ""),
            ("stops", "StopIteration", "nothing more"),
            ("gives_up", "sidewinder.Cancelled", "own accord"),
            ("returns_set", "sidewinder.UnencodableError", "type set"),
            ("returns_bytes", "sidewinder.UnencodableError", "cannot carry bytes"),
            ("returns_itself", "sidewinder.UnencodableError", "Circular"),
            ("returns_coroutine", "TypeError", "async def"),
            ("yields_set", "sidewinder.UnencodableError", "type set"),
        ]:
            self.raised(self.worker.call(tool), kind, says)

    def test_bounds(self) -> None:
        frame = self.raised(self.worker.call("huge_message"), "ValueError", "…$")
        for tag in (Tag.MESSAGE, Tag.TRACEBACK):
            self.assertLessEqual(len(frame.first(tag) or b""), 32 * 1024)

    def test_an_answer_that_is_too_large(self) -> None:
        with ready(max_message=200_000) as worker:
            self.assertEqual(len(worker.value("big", [150_000])), 150_000)
            self.raised(worker.call("big", [200_000]), "sidewinder.TooLargeError", "at most 200000")
            self.raised(worker.call("count", [10**9]), "sidewinder.TooLargeError", "at most 200000")


class Output(unittest.TestCase):
    def test_what_is_printed_comes_before_the_ending(self) -> None:
        with ready() as worker:
            worker.value("prints", ["no end of line"])
            self.assertEqual(worker.stdout(), "no end of line")
            worker.value("prints", ["\ud800"])
            self.assertIn("\\ud800", worker.stdout())
            self.assertEqual(worker.value("reads_stdin"), "")

    def test_a_tool_may_close_them(self) -> None:
        with ready() as worker:
            self.assertIsNone(worker.value("closes_streams"))
            self.assertEqual(worker.value("add", [1]), 2)

    def test_a_fork_is_not_the_worker(self) -> None:
        with ready() as worker:
            self.assertEqual(worker.value("forks"), 15)
            self.assertEqual(worker.value("forks_with_handler"), 3)
            self.assertEqual(worker.value("add", [1]), 2)
