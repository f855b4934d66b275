"""Questions and orders to a daemon: for each, the method, the request, and how the response is read.

Nothing is sent from here, so that threads and asyncio ask the same questions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Callable, Generic, TypeVar

from google.protobuf.message import Message

from .. import contract
from .seen import Daemon, Event, Pool, Reloaded, Size, Stacks, Tool, Worker, record

PATIENCE = 30.0
"""Seconds that a question or an order may take, unless the caller says otherwise."""

T = TypeVar("T")


@dataclass(frozen=True)
class Question(Generic[T]):
    """One question: its method, and how its response is read."""

    service: str
    method: str
    request: Message
    response: type[Message]
    read: Callable[[Any], T]


def describe() -> Question[Daemon]:
    return Question("Pools", "Describe", contract.DescribeRequest(), contract.DescribeResponse, record)


def pools(names: Iterable[str]) -> Question[list[Pool]]:
    request = contract.ListPoolsRequest(pools=_names(names))
    return Question("Pools", "ListPools", request, contract.ListPoolsResponse, lambda said: _each(said.pools))


def workers(names: Iterable[str]) -> Question[list[Worker]]:
    request = contract.ListWorkersRequest(pools=_names(names))
    return Question(
        "Pools", "ListWorkers", request, contract.ListWorkersResponse, lambda said: _each(said.workers)
    )


def tools(names: Iterable[str]) -> Question[list[Tool]]:
    request = contract.ListToolsRequest(pools=_names(names))
    return Question("Pools", "ListTools", request, contract.ListToolsResponse, lambda said: _each(said.tools))


def watch(names: Iterable[str]) -> Question[Event]:
    request = contract.WatchRequest(pools=_names(names))
    return Question("Pools", "Watch", request, contract.Event, record)


def drain(pool: str, within: float | None) -> Question[None]:
    request = contract.DrainRequest(pool=pool, within=_span(within))
    return Question("Admin", "Drain", request, contract.DrainResponse, _nothing)


def resume(pool: str) -> Question[None]:
    request = contract.ResumeRequest(pool=pool)
    return Question("Admin", "Resume", request, contract.ResumeResponse, _nothing)


def restart(pool: str, slot: int | None) -> Question[None]:
    request = contract.RestartRequest(pool=pool, slot=slot)
    return Question("Admin", "Restart", request, contract.RestartResponse, _nothing)


def resize(pool: str, size: Size) -> Question[Size]:
    wanted = contract.Size(min=size.min, max=size.max, spare=size.spare, headroom=size.headroom)
    request = contract.ResizeRequest(pool=pool, size=wanted)
    return Question("Admin", "Resize", request, contract.ResizeResponse, lambda said: record(said.before))


def reload(renew: Iterable[str]) -> Question[Reloaded]:
    request = contract.ReloadRequest(renew=_names(renew))
    return Question("Admin", "Reload", request, contract.ReloadResponse, record)


def upgrade() -> Question[str]:
    return Question(
        "Admin", "Upgrade", contract.UpgradeRequest(), contract.UpgradeResponse, lambda said: said.version
    )


def dump_stacks(pool: str, slot: int | None) -> Question[list[Stacks]]:
    request = contract.DumpStacksRequest(pool=pool, slot=slot)
    return Question(
        "Admin", "DumpStacks", request, contract.DumpStacksResponse, lambda said: _each(said.stacks)
    )


def stop(within: float | None) -> Question[None]:
    request = contract.QuitRequest(within=_span(within))
    return Question("Admin", "Quit", request, contract.QuitResponse, _nothing)


def _names(names: Iterable[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _each(messages: Iterable[Message]) -> list[Any]:
    return [record(message) for message in messages]


def _nothing(_: Message) -> None:
    return None


def _span(seconds: float | None) -> contract.Duration | None:
    if seconds is None:
        return None
    if not seconds >= 0:
        raise ValueError(f"within={seconds!r}: seconds, not below zero")
    whole = int(seconds)
    return contract.Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))
