"""What calls have in common is understood once: what each of them has to itself must not be mixed up."""

# ruff: noqa: ARG005 - the parameters are what is looked at

from __future__ import annotations

import json
import unittest
from typing import Any, Callable

from sidewinder._call.call import Call
from sidewinder._context import Context
from sidewinder._frames import CRITICAL, Kind, Tag, decode, encode, field, meta
from sidewinder._signature import BadArgumentsError, Signature
from sidewinder._values import RAW

from .test_calls import WithWorker

HEARD = (Tag.HEARD, 999)


def call_of(*fields: tuple[int, int | str | bytes], number: int = 1) -> Call:
    links: Any = None
    return Call(decode(encode(Kind.CALL, number, meta(fields))), links, links)


class Understood(unittest.TestCase):
    def test_calls_that_begin_alike_share_what_was_understood(self) -> None:
        same = ((Tag.TOOL, "add"), (Tag.CLIENT, "shop"))
        one, other = call_of(*same, (Tag.HEARD, 1)), call_of(*same, (Tag.DEADLINE, 10**9), (Tag.HEARD, 2))
        self.assertIs(one.request, other.request)
        self.assertEqual((one.heard, other.heard), ([1], [2]))
        self.assertIsNone(one.deadline)
        self.assertIsNotNone(other.deadline)

    def test_what_a_call_has_to_itself_is_its_own_wherever_it_stands(self) -> None:
        due, heard = (Tag.DEADLINE, 10**9), (Tag.HEARD, 1)
        tool = (Tag.TOOL, "add")
        for fields, seen in (
            ((tool, due), []),
            ((due, tool), []),
            ((tool, heard, due), [1]),
            ((heard, tool, due, (Tag.HEARD, 2)), [1, 2]),
            ((tool, due, heard, (Tag.HEARD, 2), (Tag.HEARD, 3)), [1, 2, 3]),
        ):
            for _ in range(2):
                call = call_of(*fields)
                self.assertEqual((call.heard, call.request.name), (seen, "add"), fields)
                self.assertIsNotNone(call.deadline, fields)

    def test_numbers_at_the_end_that_are_not_its_own_make_another_request(self) -> None:
        tool = (Tag.TOOL, "add")
        self.assertEqual(call_of(tool, (Tag.CREDIT, 3)).granted, 3)
        self.assertEqual(call_of(tool, (Tag.CREDIT, 4)).granted, 4)
        self.assertEqual(call_of(tool, (Tag.ATTEMPT, 2)).attempt, 2)
        self.assertEqual(call_of(tool).attempt, 1)

    def test_what_stands_ahead_is_its_own_as_well(self) -> None:
        same = ((Tag.TOOL, "add"), (Tag.CLIENT, "shop"))
        one = call_of((Tag.MEMO, b"one"), *same, HEARD)
        other = call_of((Tag.TRACEPARENT, "00-1"), (Tag.MEMO, b"other"), *same, HEARD)
        behind = call_of(*same, (Tag.MEMO, b"behind"), (Tag.TRACEPARENT, "00-2"), HEARD)
        neither = call_of(*same, HEARD)
        self.assertIs(one.request, other.request)
        self.assertEqual(
            [each.memo for each in (one, other, behind, neither)], [b"one", b"other", b"behind", b""]
        )
        self.assertEqual(
            [each.traceparent for each in (one, other, behind, neither)], [None, "00-1", "00-2", None]
        )

    def test_a_grant_of_one_call_is_not_that_of_the_next(self) -> None:
        same = ((Tag.TOOL, "count"), (Tag.CREDIT, 1))
        one = call_of(*same, HEARD)
        one.granted += 5
        self.assertEqual(call_of(*same, HEARD).granted, 1)

    def test_an_unknown_critical_field_is_noticed_behind_a_known_beginning(self) -> None:
        beginning = meta([(Tag.TOOL, "add"), (Tag.CLIENT, "shop")])
        for last in (CRITICAL | Tag.HEARD, CRITICAL | Tag.DEADLINE):
            decode(encode(Kind.CALL, 1, beginning + field(Tag.HEARD, 1)))
            with self.assertRaisesRegex(Exception, "critical"):
                decode(encode(Kind.CALL, 1, beginning + field(last, 1) + field(Tag.HEARD, 1)))


class Alike(WithWorker):
    """The same words to a worker, again and again."""

    def alike(self, tool: str, arguments: object, **options: Any) -> Any:
        return [self.worker.call(tool, arguments, fields=[HEARD], **options) for _ in range(3)]

    def test_a_refusal_is_said_each_time(self) -> None:
        for frame in self.alike("nowhere", {}):
            self.rejected(frame, "UNKNOWN_TOOL", "nowhere")
        for frame in self.alike("add", {"a": 1}, content_type="text/plain"):
            self.rejected(frame, "BAD_CONTENT_TYPE", "text/plain")

    def test_further_inputs_are_refused_where_the_same_call_without_is_taken(self) -> None:
        for frame in self.alike("add", {"a": 1}):
            self.assertEqual(frame.kind, Kind.ANSWER)
        for frame in self.alike("add", {"a": 1}, stream_in=True):
            self.rejected(frame, "NOT_A_STREAM", "no context")

    def test_each_has_its_own_deadline(self) -> None:
        left = []
        for seconds in (100, 1000):
            frame = self.worker.call("about", {}, fields=[(Tag.DEADLINE, seconds * 10**6), HEARD])
            left.append(json.loads(frame.body)["remaining"])
        self.assertLess(left[0], 100)
        self.assertGreater(left[1], 900)
        (frame, *_) = self.alike("about", {})
        self.assertIsNone(json.loads(frame.body)["remaining"])


class RawBytes(unittest.TestCase):
    """Which parameter takes them."""

    def bound(self, function: Callable[..., Any], body: bytes) -> Any:
        context: Any = Context
        return Signature(function).bind(RAW, body, context)

    def test_the_one_named_body_or_the_only_one_that_is_required_or_the_first(self) -> None:
        self.assertEqual(self.bound(lambda body, a=1: None, b"x"), ((), {"body": b"x"}))
        self.assertEqual(self.bound(lambda a, b=1: None, b"x"), ((), {"a": b"x"}))
        self.assertEqual(self.bound(lambda a=0, b=1: None, b"x"), ((), {"a": b"x"}))
        self.assertEqual(self.bound(lambda a, /: None, b"x"), ((b"x",), {}))
        self.assertEqual(self.bound(lambda *, a: None, b""), ((), {"a": b""}))

    def test_none_at_all_takes_nothing(self) -> None:
        self.assertEqual(self.bound(lambda: None, b""), ((), {}))
        self.assertEqual(self.bound(lambda *, a=1: None, b""), ((), {}))
        for function in (lambda: None, lambda *, a=1: None):
            with self.assertRaisesRegex(BadArgumentsError, "named body"):
                self.bound(function, b"x")

    def test_several_are_no_place_for_them(self) -> None:
        for body in (b"", b"x"):
            with self.assertRaisesRegex(BadArgumentsError, "named body"):
                self.bound(lambda a, b: None, body)
