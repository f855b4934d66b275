"""What there is to see, as plain records: fields and words are those of proto/sidewinder/v1/pools.proto.

Times are aware `datetime`s, spans are seconds, the words of an enum are lower case without their prefix
(`"running"`), and what is absent is None.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, MutableSequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import Message

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Daemon:
    """The daemon."""

    version: str
    run: str
    pid: int
    started: datetime | None
    tier: str
    mode: str
    mode_reason: str
    clients: int


@dataclass(frozen=True)
class Size:
    """How many workers a pool has and may have."""

    min: int
    max: int
    spare: int
    headroom: int


@dataclass(frozen=True)
class Pool:
    """One pool. `phase` is "serving", "fatal", "draining" or "drained"."""

    name: str
    phase: str
    generation: int
    size: Size | None
    seats: int
    waiting: int
    running: int
    processes: int
    ready: int
    affinity_keys: int
    struck_keys: int
    trouble: str
    tier: str
    fork_server: str


@dataclass(frozen=True)
class Worker:
    """One slot and the process that lives there.

    `state` is "starting", "running", "backoff", "stopping" or "fatal".
    """

    pool: str
    slot: int
    life: str
    state: str
    pid: int
    generation: int
    busy: int
    begun: int
    served: int
    resident_bytes: int
    ready_since: datetime | None
    suspect_since: datetime | None
    rests_for: float | None
    leaving: str
    unkillable: bool


@dataclass(frozen=True)
class Parameter:
    """One parameter of a tool."""

    name: str
    type: str
    required: bool
    default_json: str | None


@dataclass(frozen=True)
class Tool:
    """One tool that can be called."""

    pool: str
    name: str
    stream: bool
    doc: str
    parameters: tuple[Parameter, ...]
    returns: str


@dataclass(frozen=True)
class Event:
    """One thing that happened. `what` is a word such as "worker_gone"."""

    sequence: int
    at: datetime | None
    what: str
    pool: str
    worker: str
    text: str
    facts: Mapping[str, str]
    lost: int


@dataclass(frozen=True)
class Reloaded:
    """What a reload changed."""

    changed: tuple[str, ...]
    renewed: tuple[str, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    needs_restart: tuple[str, ...]
    daemon: tuple[str, ...]


@dataclass(frozen=True)
class Stacks:
    """Where one worker is."""

    worker: str
    text: str


RECORDS: dict[str, Any] = {
    "DescribeResponse": Daemon,
    "Size": Size,
    "Pool": Pool,
    "Worker": Worker,
    "Parameter": Parameter,
    "Tool": Tool,
    "Event": Event,
    "ReloadResponse": Reloaded,
    "Stacks": Stacks,
}

for _record in RECORDS.values():
    _record.__module__ = "sidewinder"


def record(message: Message) -> Any:
    """The record of a message."""
    shape = message.DESCRIPTOR
    return RECORDS[shape.name](**{field.name: _value(message, field) for field in shape.fields})


def _value(message: Message, field: Any) -> object:
    if field.has_presence and not message.HasField(field.name):
        return None
    return _plain(getattr(message, field.name), field.enum_type)


def _plain(value: Any, enum: EnumDescriptor | None) -> object:
    if isinstance(value, Message):
        return _moment_span_or_record(value)
    if isinstance(value, MutableMapping):
        return dict(value)
    if isinstance(value, MutableSequence):
        return tuple(_plain(item, enum) for item in value)
    return value if enum is None else _word(enum, value)


def _moment_span_or_record(message: Any) -> object:
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Timestamp":
        return _EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)
    if name == "google.protobuf.Duration":
        return message.seconds + message.nanos / 1e9
    return record(message)


def _word(enum: EnumDescriptor, number: int) -> str:
    known = enum.values_by_number.get(number)
    start = len(enum.values[0].name) - len("UNSPECIFIED")
    # A newer daemon may have words that are not known here.
    return known.name[start:].lower() if known is not None else f"number_{number}"
