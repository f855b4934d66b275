"""The client for asyncio: the same methods, awaited; streams are read with `async for`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterable, Awaitable, Iterable
from types import TracebackType
from typing import Any, TypeVar, Union

import grpc

from . import channel, contract, place
from .calling import Calling
from .errors import CallCancelled, Details
from .flowing_tasks import Inputs, Items
from .retrying import ATTEMPTS_MORE
from .speaking import asking, looking
from .speaking.asking import Ask
from .speaking.looking import PATIENCE, Question
from .speaking.seen import Daemon, Event, Pool, Reloaded, Size, Stacks, Tool, Worker
from .tries import Tries

T = TypeVar("T")


class Client(Calling[Awaitable[Any], Items[Any], Union[AsyncIterable[Any], Iterable[Any]]]):
    """A connection to a daemon, for one event loop: the one that runs at the first call.

    `address`, `content_type`, `retries` and `credentials` are those of `sidewinder.Client`.
    """

    def __init__(
        self,
        address: str | os.PathLike[str] | None = None,
        *,
        content_type: str = "json",
        retries: int = ATTEMPTS_MORE,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self.target = place.target(address)
        self._usual = asking.content_type(content_type)
        self._retries = retries
        self._credentials = credentials
        self._closed = False
        self._channel: Any = None

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<sidewinder.aio.Client of {self.target}{', closed' if self._closed else ''}>"

    async def close(self) -> None:
        """Cancels what still runs and hangs up. A closed client stays closed."""
        self._closed = True
        if self._channel is not None:
            await self._channel.close()

    # Tools.

    async def _call(self, ask: Ask) -> Any:
        request = ask.request(self._usual)
        tries = self._tries(ask)
        method = self._method("unary_unary", "Calls", "Call", contract.CallRequest, contract.CallResponse)
        while True:
            call = method(request, timeout=tries.left(), metadata=ask.headers())
            try:
                return asking.value((await self._response(call)).value)
            except grpc.RpcError as status:
                wait = tries.wait_after(status)
            await asyncio.sleep(wait)
            self._open()

    def _stream(self, ask: Ask) -> Items[Any]:
        request = ask.request(self._usual)
        tries = self._tries(ask)
        method = self._method("unary_stream", "Calls", "Stream", contract.CallRequest, contract.Item)

        def begin() -> Any:
            self._open()
            return method(request, timeout=tries.left(), metadata=ask.headers())

        return Items(begin, _item, tries)

    async def _upload(self, inputs: AsyncIterable[Any] | Iterable[Any], ask: Ask) -> Any:
        fed = Inputs(ask.request(self._usual), inputs, ask.speaks(self._usual))
        tries = self._tries(ask)
        method = self._method("stream_unary", "Calls", "Upload", contract.Input, contract.CallResponse)
        call = method(fed.messages(), timeout=tries.left(), metadata=ask.headers())
        try:
            return asking.value((await self._response(call)).value)
        except grpc.RpcError as status:
            raise fed.failure(tries.error(status)) from None
        except (CallCancelled, asyncio.CancelledError) as error:
            raise fed.failure(error) from None

    def _converse(self, inputs: AsyncIterable[Any] | Iterable[Any], ask: Ask) -> Items[Any]:
        fed = Inputs(ask.request(self._usual), inputs, ask.speaks(self._usual))
        tries = self._tries(ask)
        method = self._method("stream_stream", "Calls", "Converse", contract.Input, contract.Item)
        call = method(fed.messages(), timeout=tries.left(), metadata=ask.headers())
        return Items(lambda: call, _item, tries, fed)

    def _tries(self, ask: Ask) -> Tries:
        return Tries(ask.timeout, self._retries if ask.retries is None else ask.retries, self.target)

    def _open(self) -> Any:
        if self._closed:
            raise ValueError("this client is closed")
        if self._channel is None:
            # Made here, because it belongs to the loop that runs when it is made.
            asyncio.get_running_loop()
            options = channel.options(self.target)
            if self._credentials is None:
                self._channel = grpc.aio.insecure_channel(self.target, options=options)
            else:
                self._channel = grpc.aio.secure_channel(self.target, self._credentials, options=options)
        return self._channel

    def _method(self, shape: str, service: str, name: str, request: Any, response: Any) -> Any:
        make = getattr(self._open(), shape)
        return make(channel.path(service, name), request.SerializeToString, response.FromString)

    async def _response(self, call: Any) -> Any:
        try:
            return await call
        except asyncio.CancelledError:
            task = asyncio.current_task()
            asked = task.cancelling() if task is not None and hasattr(task, "cancelling") else 1
            if self._closed and not asked:
                # Not this task was cancelled, but the client was closed under it.
                raise CallCancelled("the client was closed", Details("CANCELLED", "CANCELLED")) from None
            raise

    # Looking.

    async def wait_ready(self, timeout: float | None = PATIENCE) -> Daemon:
        """Waits until a daemon answers. Calls wait by themselves for its workers."""
        return await self._ask(looking.describe(), timeout, wait_for_ready=True)

    async def describe(self, *, timeout: float | None = PATIENCE) -> Daemon:
        """The daemon itself."""
        return await self._ask(looking.describe(), timeout)

    async def pools(self, names: Iterable[str] = (), *, timeout: float | None = PATIENCE) -> list[Pool]:
        """Pools with their figures; all, unless some are named."""
        return await self._ask(looking.pools(names), timeout)

    async def workers(self, pools: Iterable[str] = (), *, timeout: float | None = PATIENCE) -> list[Worker]:
        """Slots and the workers that live there."""
        return await self._ask(looking.workers(pools), timeout)

    async def tools(self, pools: Iterable[str] = (), *, timeout: float | None = PATIENCE) -> list[Tool]:
        """What can be called."""
        return await self._ask(looking.tools(pools), timeout)

    def watch(self, pools: Iterable[str] = (), *, timeout: float | None = None) -> Items[Event]:
        """What happens from now on, until it is closed or the daemon stops. `async with` waits for now."""
        asked = looking.watch(pools)
        method = self._method(
            "unary_stream", asked.service, asked.method, type(asked.request), asked.response
        )
        call = method(asked.request, timeout=timeout)
        return Items(lambda: call, asked.read, Tries(timeout, 0, self.target), waits=True)

    # Acting. Every answer comes when the order was taken; `watch` tells what comes of it.

    async def drain(
        self, pool: str, *, within: float | None = None, timeout: float | None = PATIENCE
    ) -> None:
        """Takes no more calls, lets those that run end (at most `within` seconds), and ends the workers."""
        await self._ask(looking.drain(pool, within), timeout)

    async def resume(self, pool: str, *, timeout: float | None = PATIENCE) -> None:
        """Takes a drain back."""
        await self._ask(looking.resume(pool), timeout)

    async def restart(self, pool: str, *, slot: int | None = None, timeout: float | None = PATIENCE) -> None:
        """Replaces workers by fresh ones without dropping a call. Also the way back from "fatal"."""
        await self._ask(looking.restart(pool, slot), timeout)

    async def resize(self, pool: str, size: Size, *, timeout: float | None = PATIENCE) -> Size:
        """Gives a pool another size, and returns the one before."""
        return await self._ask(looking.resize(pool, size), timeout)

    async def reload(self, *, renew: Iterable[str] = (), timeout: float | None = PATIENCE) -> Reloaded:
        """Reads the configuration again; replaces the workers of the pools in `renew` in any case."""
        return await self._ask(looking.reload(renew), timeout)

    async def upgrade(self, *, timeout: float | None = PATIENCE) -> str:
        """Puts the executable that the daemon was started from in its place; says which version goes on."""
        return await self._ask(looking.upgrade(), timeout)

    async def dump_stacks(
        self, pool: str, *, slot: int | None = None, timeout: float | None = PATIENCE
    ) -> list[Stacks]:
        """Asks workers where they are: a traceback of each of their threads."""
        return await self._ask(looking.dump_stacks(pool, slot), timeout)

    async def quit(self, *, within: float | None = None, timeout: float | None = PATIENCE) -> None:
        """Drains every pool and ends the daemon."""
        await self._ask(looking.stop(within), timeout)

    async def _ask(self, asked: Question[T], timeout: float | None, wait_for_ready: bool = False) -> T:
        method = self._method("unary_unary", asked.service, asked.method, type(asked.request), asked.response)
        try:
            call = method(asked.request, timeout=timeout, wait_for_ready=wait_for_ready)
            return asked.read(await self._response(call))
        except grpc.RpcError as status:
            raise Tries(timeout, 0, self.target).error(status) from None


def _item(item: contract.Item) -> Any:
    return asking.value(item.value)


Client.__module__ = "sidewinder.aio"
