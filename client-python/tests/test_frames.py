"""Frames as bytes: golden frames, pieces, and input that nobody sane would send.

The golden frames pin version 1. `GOLDEN=write` writes the files anew; a change of them is a change of the
protocol.
"""

from __future__ import annotations

import os
import random
import struct
import unittest
from collections.abc import Iterable

from sidewinder._frames import (
    CRITICAL,
    HEADER,
    INPUT,
    MAX_FRAME,
    MORE,
    Frame,
    Kind,
    ProtocolError,
    Tag,
    UnknownFieldError,
    _known,
    decode,
    encode,
    field,
    meta,
)
from sidewinder._pieces import Datagram, Joiner, cut

from . import ROOM
from .driver import Fields

GOLDEN = ROOM.parent / "proto" / "golden" / "worker-1"
JSON = "application/json"
OFFER = b'{"tools": [{"name": "add", "kind": "function", "parameters": []}]}'

CALL = encode(
    Kind.CALL,
    7,
    meta(
        [
            (Tag.TOOL, "add"),
            (Tag.CONTENT_TYPE, JSON),
            (Tag.DEADLINE, 1_500_000),
            (Tag.METADATA, "tenant=blue"),
            (Tag.METADATA, "empty="),
            (Tag.TRACEPARENT, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            (Tag.CLIENT, "shop"),
            (Tag.CREDIT, 16),
            (Tag.HEARD, 5),
            (Tag.HEARD, 6),
            (Tag.ATTEMPT, 2),
        ]
    ),
    b'{"a":1,"b":2}',
    INPUT,
)
TRACE = 'Traceback (most recent call last):\n  File "shop.py", line 3, in sell\nshop.Sold: nothing left\n'
RAISED: Fields = [
    (Tag.TYPE, "shop.Sold"),
    (Tag.MESSAGE, "nothing left"),
    (Tag.TRACEBACK, TRACE),
    (Tag.NOTE, "in the blue shop"),
    (Tag.NOTE, "on a Sunday"),
]
GAVE_UP: Fields = [
    (Tag.TYPE, "sidewinder.Cancelled"),
    (Tag.MESSAGE, "nobody waits"),
    (Tag.TRACEBACK, ""),
    (Tag.CANCELLED, "1"),
]
REJECTED: Fields = [
    (Tag.REASON, "UNKNOWN_TOOL"),
    (Tag.MESSAGE, "no tool is called ad (did you mean add?)"),
]
HELLO: Fields = [
    (Tag.OLDEST, 1),
    (Tag.NEWEST, 1),
    (Tag.LANGUAGE, "python 3.11.7"),
    (Tag.RUNTIME, "0.1.0"),
    (Tag.PID, 4711),
]
WELCOME: Fields = [(Tag.NEWEST, 1), (Tag.MAX_MESSAGE, 1 << 20), (Tag.POOL, "default"), (Tag.LIFE, "0.1")]


def joined(datagrams: Iterable[Datagram]) -> list[bytes]:
    """As they arrive."""
    return [datagram if isinstance(datagram, bytes) else b"".join(datagram) for datagram in datagrams]


MEMO = b"\x01\x00\x00what a successor needs"
PIECES = joined(cut(Kind.ANSWER, 9, meta([(Tag.CONTENT_TYPE, JSON)]), b"x" * MAX_FRAME))

FRAMES: dict[str, bytes] = {
    "call": CALL,
    "call-least": encode(Kind.CALL, 1, meta([(Tag.TOOL, "now")])),
    "item-in": encode(Kind.ITEM_IN, 7, b"", b"3"),
    "end-in": encode(Kind.END_IN, 7),
    "credit": encode(Kind.CREDIT, 7, meta([(Tag.CREDIT, 8)])),
    "heard": encode(Kind.HEARD, 0, meta([(Tag.HEARD, 7), (Tag.HEARD, 8)])),
    "answer": encode(Kind.ANSWER, 7, meta([(Tag.CONTENT_TYPE, JSON)]), b"3"),
    "answer-last-piece": PIECES[-1],
    "item": encode(Kind.ITEM, 7, meta([(Tag.CONTENT_TYPE, "application/msgpack")]), b"\x03"),
    "end": encode(Kind.END, 7),
    "raised": encode(Kind.RAISED, 7, meta(RAISED)),
    "raised-cancelled": encode(Kind.RAISED, 7, meta(GAVE_UP)),
    "rejected": encode(Kind.REJECTED, 7, meta(REJECTED)),
    "want": encode(Kind.WANT, 7, meta([(Tag.CREDIT, 8)])),
    "welcome": encode(Kind.WELCOME, 0, meta(WELCOME)),
    "ping": encode(Kind.PING, 0, meta([(Tag.PING, 41)])),
    "cancel": encode(Kind.CANCEL, 7, meta([(Tag.MESSAGE, "nobody waits")])),
    "drain": encode(Kind.DRAIN),
    "resync": encode(Kind.RESYNC, 0, meta([(Tag.PING, 43)])),
    "dump": encode(Kind.DUMP, 0, meta([(Tag.PING, 42)])),
    "stacks": encode(Kind.STACKS, 0, meta([(Tag.PING, 42)]), b"thread MainThread:\n"),
    "hello": encode(Kind.HELLO, 0, meta(HELLO)),
    "ready": encode(Kind.READY, 0, meta([(Tag.SEATS, 1)]), OFFER),
    "unfit": encode(Kind.UNFIT, 0, meta([(Tag.TRACEBACK, "Traceback …"), (Tag.MESSAGE, "ImportError: no")])),
    "preloaded": encode(Kind.PRELOADED),
    "unforkable": encode(Kind.UNFORKABLE, 0, meta([(Tag.MESSAGE, "importing started threads: busy-bee")])),
    "pong": encode(Kind.PONG, 0, meta([(Tag.PING, 41), (Tag.RESIDENT, 12 << 20)])),
    "log": encode(Kind.LOG, 7, meta([(Tag.LEVEL, "info"), (Tag.MESSAGE, "half way")])),
    "progress": encode(Kind.PROGRESS, 7, meta([(Tag.CONTENT_TYPE, JSON)]), b"0.5"),
    "heartbeat": encode(Kind.HEARTBEAT, 7),
    "call-memo": encode(Kind.CALL, 8, meta([(Tag.TOOL, "train"), (Tag.MEMO, MEMO)])),
    "runs": encode(Kind.RUNS, 8, meta([(Tag.MEMO, MEMO), (Tag.PING, 43), (Tag.CREDIT, 1)])),
    "keeps": encode(Kind.KEEPS, 7, meta([(Tag.PING, 43)])),
    "resynced": encode(Kind.RESYNCED, 0, meta([(Tag.PING, 43)])),
}


def rows(data: bytes) -> str:
    return "".join(data[at : at + 16].hex(" ") + "\n" for at in range(0, len(data), 16))


class GoldenFrames(unittest.TestCase):
    def test_every_frame_has_its_bytes(self) -> None:
        if os.environ.get("GOLDEN") == "write":
            GOLDEN.mkdir(parents=True, exist_ok=True)
            for name, frame in FRAMES.items():
                (GOLDEN / f"{name}.hex").write_text(rows(frame))
        for name, frame in FRAMES.items():
            self.assertEqual((GOLDEN / f"{name}.hex").read_text(), rows(frame), name)

    def test_no_file_is_left_over(self) -> None:
        self.assertEqual({path.stem for path in GOLDEN.iterdir()}, set(FRAMES))

    def test_every_kind_has_a_frame(self) -> None:
        kinds = {value for name, value in vars(Kind).items() if name.isupper()}
        self.assertEqual({decode(frame).kind for frame in FRAMES.values()}, kinds)

    def test_frames_are_read_as_they_were_written(self) -> None:
        for name, frame in FRAMES.items():
            read = decode(frame)
            again = encode(read.kind, read.call, meta(read.fields), read.body, read.flags, read.piece)
            self.assertEqual(again, frame, name)

    def test_fields_repeat_in_their_order(self) -> None:
        heard = [value for tag, value in decode(CALL).fields if tag == Tag.HEARD]
        self.assertEqual(heard, [struct.pack("<Q", 5), struct.pack("<Q", 6)])
        self.assertEqual(decode(CALL).number(Tag.DEADLINE), 1_500_000)


class Beginnings(unittest.TestCase):
    """Metas that begin as one before them did."""

    def test_what_was_said_before_is_read_as_it_was_the_first_time(self) -> None:
        same: Fields = [(Tag.TOOL, "add"), (Tag.CLIENT, "shop")]
        heard, due = (Tag.HEARD, 1), (Tag.DEADLINE, 5)
        mimic = field(*due) + field(*heard)
        metas: list[Fields] = [
            *(
                [*same, *last]
                for last in ([], [heard], [due], [due, heard], [heard, due], [due, heard, heard])
            ),
            [(Tag.TOOL, b"x" + mimic)],
            [(Tag.TOOL, "add"), (Tag.CLIENT, mimic)],
            [heard],
            [due, heard],
            *(
                [ahead, *same, due, heard]
                for ahead in ((Tag.MEMO, "m"), (Tag.TRACEPARENT, "t"), (Tag.MEMO, ""))
            ),
            [(Tag.MEMO, "m"), (Tag.TRACEPARENT, "t"), *same, heard],
            [*same, (Tag.MEMO, "m"), heard],
            [(Tag.MEMO, mimic)],
            [(Tag.MEMO, "m"), heard],
            [(Tag.MEMO, "m"), (Tag.MEMO, "n"), *same],
        ]
        for _ in range(3):
            for said in metas:
                told = tuple((tag, field(tag, value)[6:]) for tag, value in said)
                self.assertEqual(decode(encode(Kind.CALL, 1, meta(said))).fields, told)

    def test_a_known_beginning_does_not_make_sense_of_what_follows(self) -> None:
        beginning = meta([(Tag.TOOL, "known"), (Tag.CLIENT, "shop")])
        decode(encode(Kind.CALL, 1, beginning + field(Tag.HEARD, 1)))
        for size in (7, 9, 1 << 31):
            with self.assertRaises(ProtocolError):
                decode(encode(Kind.CALL, 1, beginning + struct.pack("<HIQ", Tag.HEARD, size, 1)))
        with self.assertRaises(UnknownFieldError):
            decode(encode(Kind.CALL, 1, beginning + field(CRITICAL | Tag.HEARD, 1)))

    def test_what_stands_ahead_is_bounded_by_its_meta(self) -> None:
        for size in (1, 1 << 31):
            with self.assertRaises(ProtocolError):
                decode(encode(Kind.CALL, 1, struct.pack("<HI", Tag.MEMO, size)))
        with self.assertRaises(ProtocolError):
            decode(encode(Kind.CALL, 1, bytes([Tag.MEMO])))
        many = [(Tag.MEMO, b"")] * 20_000
        self.assertEqual(len(decode(encode(Kind.CALL, 1, meta(many))).fields), 20_000)

    def test_no_more_is_kept_of_beginnings_than_is_bounded(self) -> None:
        for number in range(1000):
            decode(encode(Kind.CALL, 1, meta([(Tag.TOOL, f"tool {number}"), (Tag.HEARD, 1)])))
            decode(encode(Kind.CALL, 1, meta([(Tag.TOOL, "x" * (400 + number)), (Tag.HEARD, 1)])))
        self.assertLessEqual(len(_known), 64)
        self.assertLessEqual(max(map(len, _known)), 512)


class Nonsense(unittest.TestCase):
    def refused(self, datagram: bytes, says: str) -> None:
        with self.assertRaisesRegex(ProtocolError, says):
            decode(datagram)

    def test_short(self) -> None:
        self.refused(b"", "0 bytes")
        self.refused(CALL[:23], "23 bytes")

    def test_too_long(self) -> None:
        self.refused(b"\1" * (MAX_FRAME + 1), "larger than")

    def test_another_version(self) -> None:
        self.refused(b"\2" + CALL[1:], "version 2")

    def test_unknown_flags(self) -> None:
        self.refused(encode(Kind.CALL, flags=4), "flags")
        self.refused(HEADER.pack(1, Kind.CALL, 0, 0, 1, 0, 1), "flags")

    def test_meta_longer_than_its_frame(self) -> None:
        self.refused(CALL[:100], "meta has")

    def test_field_longer_than_its_meta(self) -> None:
        self.refused(encode(1, 1, b"\1\0\5\0\0\0abc"), "longer than its meta")
        self.refused(encode(1, 1, b"\1\0\5"), "middle of a field")

    def test_later_piece_with_a_meta(self) -> None:
        self.refused(encode(1, 1, meta([(1, "x")]), piece=1), "later piece")

    def test_unknown_fields_are_skipped_unless_critical(self) -> None:
        self.assertEqual(decode(encode(1, 1, meta([(999, "x"), (1, "add")]))).first(1), b"add")
        with self.assertRaises(UnknownFieldError) as caught:
            decode(encode(1, 8, meta([(CRITICAL | 1, "x")])))
        self.assertEqual((caught.exception.kind, caught.exception.call), (1, 8))

    def test_wrong_numbers(self) -> None:
        with self.assertRaisesRegex(ProtocolError, "3 bytes"):
            decode(encode(1, 1, meta([(Tag.CREDIT, b"abc")]))).number(Tag.CREDIT)

    def test_a_sender_cannot_exceed_a_frame(self) -> None:
        with self.assertRaises(ValueError):
            encode(1, 1, b"", b"x" * MAX_FRAME)

    def test_random_bytes_and_truncations_raise_nothing_else(self) -> None:
        seed = int(os.environ.get("SEED", random.randrange(2**32)))
        chance = random.Random(seed)
        frames = list(FRAMES.values())
        for _ in range(20_000):
            frame = bytearray(chance.choice(frames)[:1000])
            for _ in range(chance.randrange(4)):
                frame[chance.randrange(len(frame))] = chance.randrange(256)
            mangled = bytes(frame[: chance.randrange(len(frame) + 1)])
            joiner = Joiner(max_message=4096, max_open=2)
            for datagram in (mangled, chance.randbytes(chance.randrange(80)), bytes(frame)):
                try:
                    joiner.take(decode(datagram))
                except ProtocolError:
                    pass
                except Exception as error:
                    raise AssertionError(f"SEED={seed}: {datagram.hex()}") from error


class Pieces(unittest.TestCase):
    def test_a_large_body_comes_together(self) -> None:
        for size in (0, MAX_FRAME - 100, MAX_FRAME, 3 * MAX_FRAME + 17):
            body = random.Random(size).randbytes(size)
            joiner = Joiner()
            datagrams = joined(cut(Kind.CALL, 3, meta([(Tag.TOOL, "echo")]), body, INPUT))
            self.assertTrue(all(len(datagram) <= MAX_FRAME for datagram in datagrams))
            *early, whole = [joiner.take(decode(datagram)) for datagram in datagrams]
            self.assertEqual(early, [None] * len(early))
            assert whole is not None
            self.assertEqual((whole.body, whole.flags, whole.first(Tag.TOOL)), (body, INPUT, b"echo"))

    def test_pieces_of_different_calls_interleave(self) -> None:
        joiner = Joiner()
        both = [joined(cut(Kind.CALL, call, b"", bytes([call]) * 2 * MAX_FRAME)) for call in (1, 2)]
        whole = [joiner.take(decode(datagram)) for pair in zip(*both) for datagram in pair]
        done = [frame for frame in whole if frame is not None]
        self.assertEqual([frame.body[:1] * 2 * MAX_FRAME for frame in done], [frame.body for frame in done])
        self.assertEqual([frame.call for frame in done], [1, 2])

    def test_bounds(self) -> None:
        joiner = Joiner(max_message=10, max_open=1)
        with self.assertRaisesRegex(ProtocolError, "larger than 10"):
            joiner.take(Frame(1, 0, 1, 0, b"x" * 11))
        self.assertIsNone(joiner.take(Frame(1, MORE, 1, 0, b"x" * 6)))
        with self.assertRaisesRegex(ProtocolError, "unfinished"):
            joiner.take(Frame(1, MORE, 2, 0, b"x"))
        with self.assertRaisesRegex(ProtocolError, "larger than 10"):
            joiner.take(Frame(1, MORE, 1, 1, b"x" * 6))

    def test_pieces_out_of_order(self) -> None:
        for second in (0, 2):
            joiner = Joiner()
            joiner.take(Frame(1, MORE, 1))
            with self.assertRaisesRegex(ProtocolError, "was expected"):
                joiner.take(Frame(1, 0, 1, second))
        with self.assertRaisesRegex(ProtocolError, "beginning never came"):
            Joiner().take(Frame(1, 0, 1, 1))
