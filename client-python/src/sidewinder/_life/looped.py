"""Serving with an event loop in the main thread: for async tools, and for several seats.

Async tools are tasks of the loop. Sync tools run in threads, one a seat, so that they do not hold up the
others; with one seat there are no others, and they run in the main thread.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
import traceback
from collections.abc import Iterable
from types import FrameType

from .._call.attempt import attempt_async, raised, run
from .._call.call import Call
from .._call.endings import Ending
from .._context import Cancelled
from .._link import Link
from .._pieces import Datagram
from .._tools import Tool
from . import standard
from .serving import Serving

_FRAMES_AT_ONCE = 64


class _InThread:
    """A tool in a thread waits on a queue, because nothing else survives an exception planted at any step."""

    def __init__(self) -> None:
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()

    def wait(self) -> None:
        self._tokens.get()

    async def arrival(self) -> None:
        raise TypeError("only an async tool waits like this")

    def wake(self) -> None:
        if self._tokens.empty():
            self._tokens.put(None)


class _InTask:
    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wait(self) -> None:
        raise TypeError("an async tool cannot wait like this")

    async def arrival(self) -> None:
        self._event.clear()
        await self._event.wait()

    def wake(self) -> None:
        self._event.set()


class Looped(Serving):
    def __init__(
        self, loop: asyncio.AbstractEventLoop, calls: Link, control: Link, tools: dict[str, Tool], seats: int
    ) -> None:
        super().__init__(calls, control, tools, seats)
        self._loop = loop
        self._tasks: dict[int, asyncio.Task[Ending]] = {}
        self._speaking: set[object] = set()
        self._jobs: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._threads = 0
        self._threaded = 0

    def serve(self) -> None:
        self._loop.add_reader(self.link.socket, self._readable)
        self._loop.add_reader(self._woken, self.wake_up)
        if self.draining:
            self._loop.call_soon(self._drained)
        while True:
            try:
                self._loop.run_forever()
                break
            except (SystemExit, KeyboardInterrupt, Cancelled):
                traceback.print_exc()  # from a task that a tool left behind: the life goes on
        self._loop.remove_reader(self.link.socket)
        self._loop.remove_reader(self._woken)

    def _readable(self) -> None:
        for _ in range(_FRAMES_AT_ONCE):
            if not self.read_one():
                break

    def start(self, call: Call) -> None:
        if call.tool.asynchronous:
            call.waiter = _InTask()
            task = self._loop.create_task(attempt_async(call, self._say_item))
            self._tasks[call.id] = task
            task.add_done_callback(lambda done: self._finished(call, done))
        elif self.seats == 1:
            self.run_here(call)
            if self.draining:
                self._loop.call_soon(self._drained)
        else:
            call.waiter = _InThread()
            self._threaded += 1
            if self._threaded > self._threads:
                self._threads += 1
                threading.Thread(
                    target=self._work, name=f"sidewinder-seat-{self._threads}", daemon=True
                ).start()
            self._jobs.put(call)

    # Ending.

    def drain(self) -> None:
        if self.draining:
            return
        super().drain()
        self._loop.call_soon_threadsafe(self._drained)

    def _drained(self) -> None:
        """Stops the loop when nothing is left to do. What was sent before the drain is read first."""
        if not self.draining:
            return
        while self.read_one():
            pass
        if not self.running and not self._speaking:
            self._loop.stop()

    def stop(self, call: Call) -> None:
        if call.tool.asynchronous:
            self._loop.call_soon_threadsafe(self._cancel_task, call)
        else:
            super().stop(call)

    def waiting(self) -> list[tuple[str, FrameType]]:
        return [
            (f"task {task.get_name()}", frame)
            for task in asyncio.all_tasks(self._loop)
            for frame in task.get_stack(limit=1)
        ]

    def _cancel_task(self, call: Call) -> None:
        task = self._tasks.get(call.id)
        if task is not None and not call.done:
            task.cancel()

    def interrupt(self) -> None:
        """With a task in mid-step, its code is interrupted where it is. Otherwise tasks are cancelled
        politely: the only one, or those that were cancelled before and did not heed it."""
        if self._on_main is not None:
            super().interrupt()
            return
        try:
            current = asyncio.current_task(self._loop)
        except RuntimeError:
            current = None
        for number, task in list(self._tasks.items()):
            call = self.running.get(number)
            if call is None or not (call.cancelled or self.seats == 1):
                continue
            if task is current:
                if call.signal():
                    raise Cancelled(call.why or "interrupted")
            else:
                call.cancelled = True
                call.why = call.why or "interrupted"
                self._loop.call_soon_threadsafe(self._cancel_task, call)

    def _finished(self, call: Call, task: asyncio.Task[Ending]) -> None:
        call.done = True
        try:
            ending = task.result()
        except BaseException as error:  # cancelled before its first step
            ending = raised(call, error)
        del self._tasks[call.id]
        self.settle(call, ending)
        standard.flush()
        self._say_now(ending.datagrams(), ending)
        self._drained()

    def _say_now(self, datagrams: Iterable[Datagram], ending: Ending | None) -> None:
        rest = iter(datagrams)
        for datagram in rest:
            if not self.link.send_now(datagram):
                waiting = self._loop.create_task(self._say_rest(itertools.chain((datagram,), rest), ending))
                self._speaking.add(waiting)
                waiting.add_done_callback(self._spoken)
                return
        if ending is not None and self.endings.said(ending):
            self._say_now(ending.datagrams(), None)

    async def _say_rest(self, datagrams: Iterable[Datagram], ending: Ending | None) -> None:
        await self._loop.run_in_executor(None, self.link.send, datagrams)
        if ending is not None and self.endings.said(ending):
            await self._loop.run_in_executor(None, self.link.send, ending.datagrams())

    def _spoken(self, waiting: object) -> None:
        self._speaking.discard(waiting)
        self._drained()

    async def _say_item(self, kind: int, call: Call, meta: bytes, body: bytes) -> None:
        for datagram in Ending(kind, call.id, meta, body).datagrams():
            if not self.link.send_now(datagram):
                sent = self._loop.run_in_executor(None, self.link.send, (datagram,))
                try:
                    await asyncio.shield(sent)
                except asyncio.CancelledError:
                    await asyncio.wait((sent,))  # or the ending would overtake it
                    raise

    # The threads.

    def _work(self) -> None:
        while True:
            call = self._jobs.get()
            ending = run(call, self.say_item)
            token = object()
            self._speaking.add(token)
            self._threaded -= 1
            self.settle(call, ending)
            self.say_ending(ending)
            self._loop.call_soon_threadsafe(self._spoken, token)
