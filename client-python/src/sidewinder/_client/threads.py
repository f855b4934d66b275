"""The client for threads: every method blocks its caller, and any number of threads may share one client."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Any, TypeVar

import grpc

from . import channel, contract, place
from .calling import Calling
from .errors import CallCancelled, Details
from .flowing import Inputs, Items
from .retrying import ATTEMPTS_MORE
from .speaking import asking, looking
from .speaking.asking import Ask
from .speaking.looking import PATIENCE, Question
from .speaking.seen import Daemon, Event, Pool, Reloaded, Size, Stacks, Tool, Worker
from .tries import Tries

T = TypeVar("T")


class Client(Calling[Any, Items[Any], Iterable[Any]]):
    """A connection to a daemon.

    `address` is a unix socket (`"unix:/path"`, `"/path"` or a `Path`) or `"host:port"`; without one it is the
    daemon of this user. `credentials` are those of gRPC, for a daemon that listens with TLS. `content_type`
    and `retries` are what a call has that says nothing else. Nothing is connected before the first call, and
    a lost connection comes back by itself.
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
        self._closing = threading.Event()
        options = channel.options(self.target)
        if credentials is None:
            self._channel = grpc.insecure_channel(self.target, options=options)
        else:
            self._channel = grpc.secure_channel(self.target, credentials, options=options)
        self._call_tool = self._channel.unary_unary(
            channel.path("Calls", "Call"),
            contract.CallRequest.SerializeToString,
            contract.CallResponse.FromString,
        )
        self._stream_tool = self._channel.unary_stream(
            channel.path("Calls", "Stream"),
            contract.CallRequest.SerializeToString,
            contract.Item.FromString,
        )
        self._upload_tool = self._channel.stream_unary(
            channel.path("Calls", "Upload"),
            contract.Input.SerializeToString,
            contract.CallResponse.FromString,
        )
        self._converse_tool = self._channel.stream_stream(
            channel.path("Calls", "Converse"),
            contract.Input.SerializeToString,
            contract.Item.FromString,
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<sidewinder.Client of {self.target}{', closed' if self._closing.is_set() else ''}>"

    def close(self) -> None:
        """Cancels what still runs and hangs up. A closed client stays closed."""
        self._closing.set()
        self._channel.close()

    # Tools.

    def _call(self, ask: Ask) -> Any:
        request = ask.request(self._usual)
        tries = self._tries(ask)
        while True:
            call = self._call_tool.future(request, timeout=tries.left(), metadata=ask.headers())
            try:
                return asking.value(self._response(call).value)
            except grpc.RpcError as error:
                self._closing.wait(tries.wait_after(error))

    def _stream(self, ask: Ask) -> Items[Any]:
        request = ask.request(self._usual)
        tries = self._tries(ask)

        def begin() -> Any:
            self._open()
            return self._stream_tool(request, timeout=tries.left(), metadata=ask.headers())

        return Items(begin, _item, tries, self._closing)

    def _upload(self, inputs: Iterable[Any], ask: Ask) -> Any:
        fed = Inputs(ask.request(self._usual), inputs, ask.speaks(self._usual))
        tries = self._tries(ask)
        call = self._upload_tool.future(fed, timeout=tries.left(), metadata=ask.headers())
        fed.belong(call)
        try:
            return asking.value(self._response(call).value)
        except grpc.RpcError as error:
            raise fed.failure(tries.error(error)) from None
        except CallCancelled as error:
            raise fed.failure(error) from None

    def _converse(self, inputs: Iterable[Any], ask: Ask) -> Items[Any]:
        fed = Inputs(ask.request(self._usual), inputs, ask.speaks(self._usual))
        tries = self._tries(ask)
        call = self._converse_tool(fed, timeout=tries.left(), metadata=ask.headers())
        fed.belong(call)
        return Items(lambda: call, _item, tries, self._closing, fed)

    def _tries(self, ask: Ask) -> Tries:
        self._open()
        return Tries(ask.timeout, self._retries if ask.retries is None else ask.retries, self.target)

    def _open(self) -> None:
        if self._closing.is_set():
            raise ValueError("this client is closed")

    def _response(self, call: Any) -> Any:
        try:
            return call.result()
        except grpc.FutureCancelledError:
            raise CallCancelled("the call was cancelled", Details("CANCELLED", "CANCELLED")) from None
        except grpc.RpcError:
            raise
        except BaseException:
            # Ctrl-C, for one: nobody waits for this call any more.
            call.cancel()
            raise

    # Looking.

    def wait_ready(self, timeout: float | None = PATIENCE) -> Daemon:
        """Waits until a daemon answers. Calls wait by themselves for its workers."""
        return self._ask(looking.describe(), timeout, wait_for_ready=True)

    def describe(self, *, timeout: float | None = PATIENCE) -> Daemon:
        """The daemon itself."""
        return self._ask(looking.describe(), timeout)

    def pools(self, names: Iterable[str] = (), *, timeout: float | None = PATIENCE) -> list[Pool]:
        """Pools with their figures; all, unless some are named."""
        return self._ask(looking.pools(names), timeout)

    def workers(self, pools: Iterable[str] = (), *, timeout: float | None = PATIENCE) -> list[Worker]:
        """Slots and the workers that live there."""
        return self._ask(looking.workers(pools), timeout)

    def tools(self, pools: Iterable[str] = (), *, timeout: float | None = PATIENCE) -> list[Tool]:
        """What can be called."""
        return self._ask(looking.tools(pools), timeout)

    def watch(self, pools: Iterable[str] = (), *, timeout: float | None = None) -> Items[Event]:
        """What happens from now on, until it is closed or the daemon stops."""
        self._open()
        question = looking.watch(pools)
        tries = Tries(timeout, 0, self.target)
        ask = self._channel.unary_stream(
            channel.path(question.service, question.method),
            type(question.request).SerializeToString,
            question.response.FromString,
        )
        call = ask(question.request, timeout=timeout)
        # From here on nothing is missed.
        call.initial_metadata()
        return Items(lambda: call, question.read, tries, self._closing)

    # Acting. Every answer comes when the order was taken; `watch` tells what comes of it.

    def drain(self, pool: str, *, within: float | None = None, timeout: float | None = PATIENCE) -> None:
        """Takes no more calls, lets those that run end (at most `within` seconds), and ends the workers."""
        self._ask(looking.drain(pool, within), timeout)

    def resume(self, pool: str, *, timeout: float | None = PATIENCE) -> None:
        """Takes a drain back."""
        self._ask(looking.resume(pool), timeout)

    def restart(self, pool: str, *, slot: int | None = None, timeout: float | None = PATIENCE) -> None:
        """Replaces workers by fresh ones without dropping a call. Also the way back from "fatal"."""
        self._ask(looking.restart(pool, slot), timeout)

    def resize(self, pool: str, size: Size, *, timeout: float | None = PATIENCE) -> Size:
        """Gives a pool another size, and returns the one before."""
        return self._ask(looking.resize(pool, size), timeout)

    def reload(self, *, renew: Iterable[str] = (), timeout: float | None = PATIENCE) -> Reloaded:
        """Reads the configuration again; replaces the workers of the pools in `renew` in any case."""
        return self._ask(looking.reload(renew), timeout)

    def upgrade(self, *, timeout: float | None = PATIENCE) -> str:
        """Puts the executable that the daemon was started from in its place; says which version goes on."""
        return self._ask(looking.upgrade(), timeout)

    def dump_stacks(
        self, pool: str, *, slot: int | None = None, timeout: float | None = PATIENCE
    ) -> list[Stacks]:
        """Asks workers where they are: a traceback of each of their threads."""
        return self._ask(looking.dump_stacks(pool, slot), timeout)

    def quit(self, *, within: float | None = None, timeout: float | None = PATIENCE) -> None:
        """Drains every pool and ends the daemon."""
        self._ask(looking.stop(within), timeout)

    def _ask(self, question: Question[T], timeout: float | None, wait_for_ready: bool = False) -> T:
        self._open()
        ask = self._channel.unary_unary(
            channel.path(question.service, question.method),
            type(question.request).SerializeToString,
            question.response.FromString,
        )
        call = ask.future(question.request, timeout=timeout, wait_for_ready=wait_for_ready)
        try:
            return question.read(self._response(call))
        except grpc.RpcError as error:
            raise Tries(timeout, 0, self.target).error(error) from None


def _item(item: contract.Item) -> Any:
    return asking.value(item.value)


Client.__module__ = "sidewinder"
