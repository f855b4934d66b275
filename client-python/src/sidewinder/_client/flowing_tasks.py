"""Streams for asyncio: items that are read one by one, and inputs that are taken one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Callable, TypeVar

import grpc

from . import contract
from .speaking import asking
from .tries import Tries

T = TypeVar("T")


class Inputs:
    """The caller's inputs, as gRPC's own task takes them. What they raise is raised where the answer is."""

    def __init__(
        self, opening: contract.CallRequest, inputs: AsyncIterable[Any] | Iterable[Any], speaks: str
    ) -> None:
        self._opening = opening
        self._inputs = inputs
        self._speaks = speaks
        self._raised: BaseException | None = None

    def failure(self, otherwise: BaseException) -> BaseException:
        """Why there is no answer."""
        return self._raised or otherwise

    async def messages(self) -> AsyncIterator[contract.Input]:
        yield contract.Input(open=self._opening)
        try:
            if isinstance(self._inputs, AsyncIterable):
                async for value in self._inputs:
                    yield contract.Input(item=asking.payload(value, self._speaks))
            else:
                for value in self._inputs:
                    yield contract.Input(item=asking.payload(value, self._speaks))
        except Exception as error:
            # gRPC cancels the call, or the tool would take what it has for all there is.
            self._raised = error
            raise


class Items(AsyncIterator[T]):
    """The items of a call, read with `async for`: while nobody reads, the tool stands still.

    `aclose()`, leaving an `async with`, and losing the last reference cancel a call that still runs.
    """

    def __init__(
        self,
        begin: Callable[[], Any],
        read: Callable[[Any], T],
        tries: Tries,
        fed: Inputs | None = None,
        waits: bool = False,
    ) -> None:
        self._begin = begin
        self._read = read
        self._tries = tries
        self._fed = fed
        self._waits = waits
        self._ended = False
        self._call = begin()

    def __aiter__(self) -> Items[T]:
        return self

    async def __anext__(self) -> T:
        while not self._ended:
            try:
                message = await self._call.read()
                if message is grpc.aio.EOF:
                    self._ended = True
                    break
                item = self._read(message)
            except grpc.RpcError as status:
                await self._try_again(status)
            except asyncio.CancelledError as error:
                self._give_up(error)
            except BaseException:
                self.cancel()
                raise
            else:
                self._tries.spend()
                return item
        raise StopAsyncIteration

    async def _try_again(self, status: grpc.RpcError) -> None:
        if self._ended:
            return
        self._ended = True
        if self._fed is not None:
            raise self._fed.failure(self._tries.error(status)) from None
        await asyncio.sleep(self._tries.wait_after(status))
        self._call = self._begin()
        self._ended = False

    def _give_up(self, error: asyncio.CancelledError) -> None:
        """The reader was cancelled, or the call under it: by `aclose`, or by inputs that failed."""
        task = asyncio.current_task()
        if self._ended and not (task is not None and hasattr(task, "cancelling") and task.cancelling()):
            return
        self.cancel()
        raise (self._fed.failure(error) if self._fed is not None else error) from None

    async def __aenter__(self) -> Items[T]:
        if self._waits:
            await self._call.initial_metadata()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    def __del__(self) -> None:
        if hasattr(self, "_call"):
            self._call.cancel()

    async def aclose(self) -> None:
        """Reads no more. A call that still runs is cancelled, and its worker is free again."""
        self.cancel()

    def cancel(self) -> None:
        """The same, for where nothing can be awaited."""
        self._ended = True
        self._call.cancel()


Items.__module__ = "sidewinder.aio"
