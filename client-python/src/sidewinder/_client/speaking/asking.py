"""From Python's values to a request, and from a payload back to a value.

Arguments are a mapping by name, a sequence by place, or bytes as they are. How they travel is a content type:
JSON and MessagePack carry data, anything else carries bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union

from ..._values import codec
from .. import contract

Arguments = Union[Mapping[str, Any], Sequence[Any], bytes, bytearray, memoryview, None]
AffinityMode = Literal["hint", "strict_queue", "strict_fail_fast"]
Priority = Literal["low", "normal", "high"]
OnAbandon = Literal["cancel", "finish"]

_SHORT = {
    "json": "application/json",
    "msgpack": "application/msgpack",
    "bytes": "application/octet-stream",
}
_BYTES = (bytes, bytearray, memoryview)


def content_type(name: str) -> str:
    """A media type; `json`, `msgpack` and `bytes` are short for theirs."""
    full = _SHORT.get(name, name)
    if "/" not in full:
        raise ValueError(f"no content type {name!r}: json, msgpack, bytes, or a media type")
    return full


@dataclass(frozen=True)
class Ask:
    """One call as its caller wants it."""

    tool: str
    arguments: Arguments
    named: Mapping[str, Any]
    pool: str | None
    timeout: float | None
    affinity: str | None
    affinity_mode: AffinityMode | None
    idempotency_key: str | None
    priority: Priority | None
    on_abandon: OnAbandon | None
    metadata: Mapping[str, str] | None
    content_type: str | None
    traceparent: str | None
    retries: int | None

    def headers(self) -> tuple[tuple[str, str], ...]:
        return (("traceparent", self.traceparent),) if self.traceparent else ()

    def speaks(self, usual: str) -> str:
        """The content type of this call."""
        if self.content_type is not None:
            return content_type(self.content_type)
        return _SHORT["bytes"] if isinstance(self.arguments, _BYTES) else content_type(usual)

    def request(self, usual: str) -> contract.CallRequest:
        """The request, checked as far as it can be checked here."""
        if self.timeout is not None and not self.timeout >= 0:
            raise ValueError(f"timeout={self.timeout!r}: seconds from now, or None for no deadline")
        if self.named and self.arguments is not None:
            raise TypeError(
                f"{self.tool}: give the arguments as one value or by name, not both ({', '.join(self.named)})"
            )
        if self.affinity_mode is not None and self.affinity is None:
            raise TypeError("affinity_mode says what to do about an affinity, and there is none")
        affinity = None
        if self.affinity is not None:
            affinity = contract.Affinity(
                key=self.affinity, mode=_number("AffinityMode", "affinity_mode", self.affinity_mode)
            )
        call = contract.Call(
            pool=self.pool or "",
            tool=self.tool,
            affinity=affinity,
            idempotency_key=self.idempotency_key or "",
            priority=_number("Priority", "priority", self.priority),
            on_abandon=_number("OnAbandon", "on_abandon", self.on_abandon),
            metadata=self.metadata or {},
        )
        return contract.CallRequest(call=call, arguments=self._arguments(self.speaks(usual)))

    def _arguments(self, speaks: str) -> contract.Payload:
        given = self.arguments if self.arguments is not None else self.named
        if not given and not isinstance(given, _BYTES) and _carries_bytes(speaks):
            given = b""
        if isinstance(given, Sequence) and not isinstance(given, (str, list, tuple, *_BYTES)):
            given = list(given)
        elif isinstance(given, Mapping) and not isinstance(given, dict):
            given = dict(given)
        elif isinstance(given, str):
            raise TypeError(f"{self.tool}: one text is no list of arguments: name it, or put it into a list")
        return payload(given, speaks)


def payload(value: object, speaks: str) -> contract.Payload:
    """A value in this content type."""
    known = codec(speaks)
    if known is not None:
        data = known.encode(value)
    elif isinstance(value, _BYTES):
        data = bytes(value)
    else:
        raise TypeError(f"{speaks} is not known here: give the bytes, not a {type(value).__name__}")
    return contract.Payload(data=data, content_type=speaks)


def value(payload: contract.Payload) -> Any:
    """What a payload says; bytes, if its content type is none that is known here."""
    known = codec(payload.content_type)
    return known.decode(payload.data) if known is not None else payload.data


def _carries_bytes(speaks: str) -> bool:
    return codec(speaks) is None or speaks == _SHORT["bytes"]


def _number(enum: str, option: str, word: str | None) -> int:
    if word is None:
        return 0
    numbers = contract.words(enum)
    if word not in numbers or not numbers[word]:
        known = ", ".join(name for name, number in numbers.items() if number)
        raise ValueError(f"{option}={word!r}: one of {known}")
    return numbers[word]
