"""Values as bytes: JSON as strict as it claims to be, and MessagePack byte for byte."""

from __future__ import annotations

import math
import os
import random
import unittest
from datetime import datetime, timedelta, timezone
from typing import Any

from sidewinder._values import JSON, MSGPACK, RAW, BadPayloadError, Codec, UnencodableError, codec

UTC = timezone.utc

# From the specification: a value and its shortest encoding.
VECTORS: list[tuple[object, str]] = [
    (None, "c0"),
    (False, "c2"),
    (True, "c3"),
    (0, "00"),
    (127, "7f"),
    (128, "cc80"),
    (255, "ccff"),
    (256, "cd0100"),
    (65535, "cdffff"),
    (65536, "ce00010000"),
    (2**32 - 1, "ceffffffff"),
    (2**32, "cf0000000100000000"),
    (2**64 - 1, "cfffffffffffffffff"),
    (-1, "ff"),
    (-32, "e0"),
    (-33, "d0df"),
    (-128, "d080"),
    (-129, "d1ff7f"),
    (-32769, "d2ffff7fff"),
    (-(2**31) - 1, "d3ffffffff7fffffff"),
    (-(2**63), "d38000000000000000"),
    (1.5, "cb3ff8000000000000"),
    ("", "a0"),
    ("añ", "a361c3b1"),
    ("x" * 32, "d920" + "78" * 32),
    ("x" * 256, "da0100" + "78" * 256),
    (b"", "c400"),
    (b"\x00\xff", "c40200ff"),
    (b"x" * 256, "c50100" + "78" * 256),
    ([], "90"),
    ([1, [2]], "920191" + "02"),
    (list(range(16)), "dc0010" + "".join(f"{n:02x}" for n in range(16))),
    ({}, "80"),
    ({"a": 1}, "81a16101"),
    ({1: None}, "8101c0"),
    (datetime(1970, 1, 1, tzinfo=UTC), "d6ff00000000"),
    (datetime(2106, 2, 7, 6, 28, 15, tzinfo=UTC), "d6ffffffffff"),
    (datetime(1970, 1, 1, 0, 0, 1, 500000, tzinfo=UTC), "d7ff7735940000000001"),
    (datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), "c70cff00000000ffffffffffffffff"),
]
# Longer encodings than necessary, and families that are only read.
READ_ONLY: list[tuple[object, str]] = [
    (1.5, "ca3fc00000"),
    (1, "d30000000000000001"),
    ("a", "db0000000161"),
    (b"a", "c60000000161"),
    ([1], "dd0000000101"),
    ({"a": 1}, "df00000001a16101"),
]


class MessagePack(unittest.TestCase):
    def test_vectors(self) -> None:
        for value, encoded in VECTORS:
            self.assertEqual(MSGPACK.encode(value).hex(), encoded, repr(value)[:60])
            self.assertEqual(MSGPACK.decode(bytes.fromhex(encoded)), value)
        for value, encoded in READ_ONLY:
            self.assertEqual(MSGPACK.decode(bytes.fromhex(encoded)), value)
        self.assertTrue(math.isnan(MSGPACK.decode(MSGPACK.encode(math.nan))))  # type: ignore[arg-type]

    def test_what_looks_alike(self) -> None:
        self.assertEqual(MSGPACK.encode((1, 2)), MSGPACK.encode([1, 2]))
        self.assertEqual(MSGPACK.encode(bytearray(b"a")), MSGPACK.encode(memoryview(b"a")))
        moved = datetime(2020, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
        self.assertEqual(MSGPACK.decode(MSGPACK.encode(moved)), moved)

    def test_bad_bytes(self) -> None:
        for encoded, says in [
            ("", "missing"),
            ("c1", "begins with 0xc1"),
            ("0101", "1 bytes follow"),
            ("a2ff61", "UTF-8"),
            ("ddffffffff", "missing"),
            ("dbffffffff", "missing"),
            ("8190c0", "key of a map"),
            ("d40500", "extension of type 5"),
            ("c701ff00", "timestamp of 1"),
            ("d7ffffffffff00000000", "nanoseconds"),
            ("c70cff000000007fffffffffffffff", "years"),
            ("91" * 200 + "c0", "deeper"),
        ]:
            with self.assertRaisesRegex(BadPayloadError, says):
                MSGPACK.decode(bytes.fromhex(encoded))

    def test_what_cannot_be_carried(self) -> None:
        loop: list[object] = []
        loop.append(loop)
        for value, says in [
            ({1, 2}, "type set"),
            (2**64, "64 bits"),
            (-(2**63) - 1, "64 bits"),
            (datetime(2020, 1, 1), "time zone"),
            ("\ud800", "surrogates"),
            (loop, "itself"),
        ]:
            with self.assertRaisesRegex(UnencodableError, says):
                MSGPACK.encode(value)

    def test_round_trips_and_noise(self) -> None:
        seed = int(os.environ.get("SEED", random.randrange(2**32)))
        chance = random.Random(seed)
        for _ in range(2_000):
            value = _value(chance, 4)
            encoded = MSGPACK.encode(value)
            self.assertEqual(MSGPACK.decode(encoded), value, f"SEED={seed}")
            noise = bytearray(encoded)
            noise[chance.randrange(len(noise))] = chance.randrange(256)
            for body in (bytes(noise), encoded[: chance.randrange(len(encoded))], chance.randbytes(20)):
                try:
                    MSGPACK.decode(body)
                except BadPayloadError:
                    pass
                except Exception as error:
                    raise AssertionError(f"SEED={seed}: {body.hex()}") from error


def _value(chance: random.Random, depth: int) -> Any:
    choices: list[Any] = [
        lambda: None,
        lambda: chance.random() < 0.5,
        lambda: chance.randrange(-(2**63), 2**64) >> chance.randrange(64),
        lambda: chance.uniform(-1e9, 1e9),
        lambda: "".join(chance.choices("aé漢🐍 ", k=chance.randrange(40))),
        lambda: chance.randbytes(chance.randrange(300)),
        lambda: datetime(1900, 1, 1, tzinfo=UTC) + timedelta(microseconds=chance.randrange(10**16)),
        lambda: [_value(chance, depth - 1) for _ in range(chance.randrange(20))],
        lambda: {chance.randbytes(3): _value(chance, depth - 1) for _ in range(chance.randrange(20))},
    ]
    return chance.choice(choices if depth else choices[:-2])()


class Json(unittest.TestCase):
    def test_strict_both_ways(self) -> None:
        self.assertEqual(JSON.decode('{"a":[1,2.5,null,"é"]}'.encode()), {"a": [1, 2.5, None, "é"]})
        self.assertEqual(JSON.encode({"a": ("é", True)}), '{"a":["é",true]}'.encode())
        for body in (
            b"NaN",
            b"Infinity",
            b"-Infinity",
            b"\xff",
            b"{",
            b"[1,]",
            b"",
            b"'a'",
            b"1 2",
            b"[" * 100_000,
        ):
            with self.assertRaises(BadPayloadError):
                JSON.decode(body)
        with self.assertRaises(BadPayloadError):
            JSON.decode(b"\xef\xbb\xbf1")

    def test_what_cannot_be_carried(self) -> None:
        loop: list[object] = []
        loop.append(loop)
        deep: list[object] = []
        for _ in range(100_000):
            deep = [deep]
        for value, says in [
            (b"x", "cannot carry bytes"),
            ({"a": {1}}, "type set"),
            (math.nan, "JSON"),
            ("\ud800", "surrogates"),
            (loop, "Circular"),
            (deep, "deeply"),
            ({(1, 2): 3}, "keys"),
        ]:
            with self.assertRaisesRegex(UnencodableError, says):
                JSON.encode(value)


class ContentTypes(unittest.TestCase):
    def test_names(self) -> None:
        for name, found in [
            ("application/json", JSON),
            ("Application/JSON; charset=utf-8", JSON),
            ("application/msgpack", MSGPACK),
            ("application/x-msgpack", MSGPACK),
            ("application/octet-stream", RAW),
            ("text/plain", None),
            ("", None),
        ]:
            self.assertIs(codec(name), found, name)

    def test_joined_items_are_a_list(self) -> None:
        both: list[Codec] = [JSON, MSGPACK]
        for each in both:
            for items in ([], [1], ["a", None] * 40):
                encoded = each.between.join(each.encode(item) for item in items)
                self.assertEqual(each.decode(each.gather(encoded, len(items))), items)
        self.assertEqual(RAW.gather(b"ab", 2), b"ab")

    def test_raw_carries_bytes_only(self) -> None:
        self.assertEqual(RAW.encode(bytearray(b"a")), b"a")
        with self.assertRaisesRegex(UnencodableError, "not dict"):
            RAW.encode({})
