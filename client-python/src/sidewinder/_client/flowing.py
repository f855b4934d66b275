"""Streams for threads: items that are read one by one, and inputs that are taken one by one.

gRPC reads a message when it is asked for one, and takes an input when the one before has left. So both ways
are as slow as the slower side, with nothing but the windows of HTTP/2 between them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Callable, TypeVar

import grpc

from . import contract
from .speaking import asking
from .tries import Tries

T = TypeVar("T")


class Inputs:
    """The caller's inputs, as gRPC's own thread takes them. What they raise is raised where the answer is."""

    def __init__(self, opening: contract.CallRequest, inputs: Iterable[Any], speaks: str) -> None:
        self._opening: contract.CallRequest | None = opening
        self._inputs = iter(inputs)
        self._speaks = speaks
        self._call: Any = None
        self._begun = threading.Event()
        self._raised: BaseException | None = None

    def belong(self, call: Any) -> None:
        """These are the inputs of this call."""
        self._call = call
        self._begun.set()

    def failure(self, otherwise: BaseException) -> BaseException:
        """Why there is no answer."""
        return self._raised or otherwise

    def __iter__(self) -> Inputs:
        return self

    def __next__(self) -> contract.Input:
        opening, self._opening = self._opening, None
        if opening is not None:
            return contract.Input(open=opening)
        try:
            return contract.Input(item=asking.payload(next(self._inputs), self._speaks))
        except StopIteration:
            raise
        except BaseException as error:
            # Cancelled, or the tool would take what it has for all there is.
            self._raised = error
            self._begun.wait()
            self._call.cancel()
            raise StopIteration from None


class Items(Iterator[T]):
    """The items of a call, read one by one: while nobody reads, the tool stands still.

    `close()`, leaving a `with`, and losing the last reference cancel a call that still runs.
    """

    def __init__(
        self,
        begin: Callable[[], Any],
        read: Callable[[Any], T],
        tries: Tries,
        closing: threading.Event,
        fed: Inputs | None = None,
    ) -> None:
        self._begin = begin
        self._read = read
        self._tries = tries
        self._closing = closing
        self._fed = fed
        self._ended = False
        self._call = begin()

    def __iter__(self) -> Items[T]:
        return self

    def __next__(self) -> T:
        while not self._ended:
            try:
                item = self._read(next(self._call))
            except StopIteration:
                self._ended = True
            except grpc.RpcError as error:
                self._try_again(error)
            except BaseException:
                self.close()
                raise
            else:
                self._tries.spend()
                return item
        raise StopIteration

    def _try_again(self, status: grpc.RpcError) -> None:
        if self._ended:
            # Closed by another thread, which wanted no more.
            return
        self._ended = True
        if self._fed is not None:
            raise self._fed.failure(self._tries.error(status)) from None
        self._closing.wait(self._tries.wait_after(status))
        self._call = self._begin()
        self._ended = False

    def __enter__(self) -> Items[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_call"):
            self.close()

    def close(self) -> None:
        """Reads no more. A call that still runs is cancelled, and its worker is free again."""
        self._ended = True
        self._call.cancel()


Items.__module__ = "sidewinder"
