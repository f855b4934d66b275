"""The messages by themselves: reasons and their errors, records and their fields, values and requests."""

from __future__ import annotations

import dataclasses
import pickle
import unittest

import grpc
import sidewinder
from google.protobuf.message import Message
from sidewinder._client import contract
from sidewinder._client.errors import BY_REASON
from sidewinder._client.speaking import seen, statuses
from sidewinder._client.speaking.asking import Ask

WHERE = "unix:/nowhere"


def trailers(
    reason: str,
    metadata: dict[str, str],
    retry: float | None = None,
    stack: str = "",
    domain: str = "sidewinder",
) -> list[tuple[str, str | bytes]]:
    """Details as a daemon sends them."""
    parts: list[Message] = [contract.ErrorInfo(reason=reason, domain=domain, metadata=metadata)]
    if retry is not None:
        delay = contract.Duration(seconds=int(retry), nanos=round(retry % 1 * 1e9))
        parts.append(contract.RetryInfo(retry_delay=delay))
    if stack:
        parts.append(contract.DebugInfo(stack_entries=stack.split("\n"), detail="words"))
    details = [
        contract.Any(
            type_url=f"type.googleapis.com/{part.DESCRIPTOR.full_name}", value=part.SerializeToString()
        )
        for part in parts
    ]
    packed = contract.Status(code=2, details=details)
    return [("x-else", "1"), ("grpc-status-details-bin", packed.SerializeToString())]


class Reasons(unittest.TestCase):
    def test_every_reason_of_the_contract_has_its_class(self) -> None:
        reasons = set(contract.Error.DESCRIPTOR.enum_types_by_name["Reason"].values_by_name)
        by_whether_it_ran = {"REASON_UNSPECIFIED", "STOPPING", "LEASE_EXPIRED"}
        self.assertEqual(set(BY_REASON), reasons - by_whether_it_ran)

    def test_what_has_two_sides_is_told_apart_by_whether_it_ran(self) -> None:
        for ran, kind in (("no", sidewinder.Refusal), ("maybe", sidewinder.Failure)):
            for reason in ("STOPPING", "LEASE_EXPIRED", "SAID_BY_A_NEWER_DAEMON"):
                error = statuses.of(grpc.StatusCode.ABORTED, "why", trailers(reason, {"ran": ran}), WHERE)
                self.assertIs(type(error), kind)
                self.assertEqual((error.reason, error.ran), (reason, ran))

    def test_everything_that_is_told_can_be_asked(self) -> None:
        told = trailers(
            "WORKER_DIED",
            {"ran": "maybe", "worker": "3.7", "exit_status": "9", "signal": "11"},
            0.25,
            "a\n b",
        )
        error = statuses.of(grpc.StatusCode.INTERNAL, "gone", told, WHERE)
        assert isinstance(error, sidewinder.Failure)
        self.assertEqual((error.worker, error.exit_status, error.signal), ("3.7", 9, 11))
        self.assertEqual((error.retry_after, error.traceback, error.last_lines), (0.25, "a\n b", ("words",)))
        self.assertEqual((str(error), error.code), ("gone", "INTERNAL"))
        again = pickle.loads(pickle.dumps(error))
        self.assertEqual((type(again), str(again), again.details), (type(error), "gone", error.details))

    def test_timeouts_and_lost_connections_are_what_python_calls_them(self) -> None:
        passed = statuses.of(
            grpc.StatusCode.DEADLINE_EXCEEDED, "x", trailers("DEADLINE_PASSED", {"ran": "no"}), WHERE
        )
        local = statuses.of(grpc.StatusCode.DEADLINE_EXCEEDED, "x", None, WHERE)
        self.assertIsInstance(passed, TimeoutError)
        self.assertIsInstance(passed, sidewinder.Refusal)
        self.assertIsInstance(local, TimeoutError)
        self.assertIsInstance(local, sidewinder.Failure)
        gone = statuses.of(grpc.StatusCode.UNAVAILABLE, "Socket closed", None, WHERE)
        self.assertIsInstance(gone, ConnectionError)
        self.assertEqual(
            (gone.ran, gone.reason, str(pickle.loads(pickle.dumps(gone)))),
            ("maybe", "UNAVAILABLE", str(gone)),
        )

    def test_details_of_somebody_else_are_not_ours(self) -> None:
        foreign = trailers("WORKER_DIED", {"ran": "no"}, domain="example.org")
        error = statuses.of(grpc.StatusCode.RESOURCE_EXHAUSTED, "x", foreign, WHERE)
        self.assertIs(type(error), sidewinder.Failure)
        self.assertEqual((error.reason, error.ran), ("RESOURCE_EXHAUSTED", "maybe"))


class Records(unittest.TestCase):
    def test_every_field_of_the_contract_is_seen(self) -> None:
        for name, kind in seen.RECORDS.items():
            fields = [field.name for field in dataclasses.fields(kind)]
            self.assertEqual(
                fields, [field.name for field in getattr(contract, name).DESCRIPTOR.fields], name
            )

    def test_times_spans_and_words_are_pythons(self) -> None:
        worker = seen.record(
            contract.Worker(
                state=contract.words("State")["backoff"],
                ready_since=contract.Timestamp(seconds=1, nanos=500_000_000),
                rests_for=contract.Duration(seconds=2, nanos=250_000_000),
            )
        )
        self.assertEqual((worker.state, worker.rests_for), ("backoff", 2.25))
        self.assertEqual(worker.ready_since.isoformat(), "1970-01-01T00:00:01.500000+00:00")
        self.assertIsNone(worker.suspect_since)
        event = seen.record(contract.Event(what=999, facts={"signal": "9"}))
        self.assertEqual((event.what, event.facts), ("number_999", {"signal": "9"}))


class Asking(unittest.TestCase):
    def ask(self, **options: object) -> Ask:
        empty = {field.name: None for field in dataclasses.fields(Ask)}
        return Ask(**{**empty, "tool": "t", "named": {}, **options})  # type: ignore[arg-type]

    def test_options_become_fields(self) -> None:
        request = self.ask(
            arguments={"a": 1}, pool="p", affinity="k", affinity_mode="strict_queue", idempotency_key="i",
            priority="high", on_abandon="finish", metadata={"m": "1"}, content_type="msgpack",
        ).request("json")  # fmt: skip
        call = request.call
        self.assertEqual((call.pool, call.tool, call.idempotency_key), ("p", "t", "i"))
        self.assertEqual(
            (call.affinity.key, call.affinity.mode, call.priority, call.on_abandon), ("k", 2, 3, 2)
        )
        self.assertEqual(
            (dict(call.metadata), request.arguments.content_type), ({"m": "1"}, "application/msgpack")
        )
        self.assertEqual(request.arguments.data, b"\x81\xa1a\x01")

    def test_what_was_given_decides_how_it_travels(self) -> None:
        for given, usual, speaks, data in (
            (None, "json", "application/json", b"{}"),
            ((1, 2), "json", "application/json", b"[1,2]"),
            (range(2), "json", "application/json", b"[0,1]"),
            (bytearray(b"x"), "msgpack", "application/octet-stream", b"x"),
            (b"x", "text/csv", "application/octet-stream", b"x"),
            (None, "bytes", "application/octet-stream", b""),
        ):
            payload = self.ask(arguments=given).request(usual).arguments
            self.assertEqual((payload.content_type, payload.data), (speaks, data), given)
        payload = self.ask(arguments=b"a,b", content_type="text/csv").request("json").arguments
        self.assertEqual((payload.content_type, payload.data), ("text/csv", b"a,b"))

    def test_what_makes_no_sense_is_said_at_once(self) -> None:
        for options, kind, words in (
            ({"arguments": {}, "named": {"a": 1}}, TypeError, "not both"),
            ({"arguments": "text"}, TypeError, "put it into a list"),
            ({"arguments": {"a": object()}}, TypeError, "JSON cannot carry"),
            ({"affinity_mode": "hint"}, TypeError, "there is none"),
            ({"affinity": "k", "affinity_mode": "often"}, ValueError, "strict_queue"),
            ({"priority": "urgent"}, ValueError, "low, normal, high"),
            ({"priority": "unspecified"}, ValueError, "low, normal, high"),
            ({"timeout": -1.0}, ValueError, "seconds from now"),
            ({"timeout": float("nan")}, ValueError, "seconds from now"),
            ({"content_type": "yaml"}, ValueError, "json, msgpack, bytes"),
            ({"arguments": {"a": 1}, "content_type": "text/csv"}, TypeError, "give the bytes"),
        ):
            with self.subTest(options), self.assertRaisesRegex(kind, words):
                self.ask(**options).request("json")
