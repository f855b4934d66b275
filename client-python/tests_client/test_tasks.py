"""The client for asyncio, through the real daemon: what `test_calls` and `test_failures` see, awaited."""

from __future__ import annotations

import asyncio
import gc
import unittest
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from unittest import mock

import sidewinder
from sidewinder import aio
from sidewinder._client import tries
from sidewinder._client.retrying import pause

from .daemon import Daemon, stands_still, text


async def until(fact: Any) -> None:
    """Waits for a fact without holding the loop up."""
    for _ in range(4000):
        if fact():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("the fact did not come")


class Tasks(unittest.IsolatedAsyncioTestCase):
    daemon: Daemon

    @classmethod
    def setUpClass(cls) -> None:
        cls.daemon = Daemon()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.daemon.close()

    async def asyncSetUp(self) -> None:
        self.client = aio.Client(self.daemon.socket)
        self.note = self.daemon.folder / self.id()

    async def asyncTearDown(self) -> None:
        await self.client.close()

    async def test_calls_streams_and_inputs(self) -> None:
        client = self.client
        self.assertEqual((await client.wait_ready()).version, sidewinder.__version__)
        self.assertEqual(await client.call("add", a=40), 42)
        self.assertEqual(await client.call("wait", {"timeout": 0, "pool": "x"}), "waited in x")
        self.assertEqual(await client.call("echo", {"value": b"x"}, content_type="msgpack"), b"x")
        self.assertEqual(await client.call("reverse", b"abc"), b"cba")
        self.assertEqual([item async for item in client.stream("count", until=1000)], list(range(1000)))
        self.assertEqual(await client.upload("total", [1, 2, 3], start=10), 16)
        self.assertEqual(
            [item async for item in client.converse("double", range(50))], list(range(0, 100, 2))
        )

        async def inputs() -> AsyncIterator[int]:
            for number in range(4):
                await asyncio.sleep(0)
                yield number

        self.assertEqual(await client.upload("total", inputs()), 6)
        self.assertEqual((await client.pools())[0].name, "default")
        self.assertEqual((await client.workers())[0].state, "running")
        self.assertIn("add", [tool.name for tool in await client.tools()])
        self.assertEqual((await client.describe()).version, sidewinder.__version__)

    async def test_errors_are_the_same(self) -> None:
        with self.assertRaises(sidewinder.Raised) as raised:
            await self.client.call("fail", message="on purpose")
        self.assertEqual((raised.exception.exception, raised.exception.text), ("ValueError", "on purpose"))
        with self.assertRaises(sidewinder.Rejected):
            await self.client.call("add", c=1)
        with self.assertRaises(sidewinder.Failure):
            await self.client.call("leave", status=3, file=str(self.note), retries=50)
        self.assertEqual(text(self.note), "x")
        # The next worker is there, so the deadline meets the tool.
        self.assertEqual(await self.client.call("add", a=1), 3)
        with self.assertRaises(TimeoutError):
            await self.client.call("until_cancelled", file=str(self.note), timeout=1.0)
        await until(lambda: text(self.note) == "cancelled")
        got = []
        with self.assertRaises(sidewinder.Raised):
            async for item in self.client.stream("stumble", after=3):
                got.append(item)
        self.assertEqual(got, [0, 1, 2])
        async with aio.Client("unix:/nowhere/at.sock") as nobody:
            with self.assertRaises(sidewinder.Unavailable):
                await nobody.call("add", a=1)

    async def test_inputs_that_fail_are_what_is_raised(self) -> None:
        async def broken() -> AsyncIterator[int]:
            yield 1
            raise KeyError("mine")

        with self.assertRaisesRegex(KeyError, "mine"):
            await self.client.upload("total", broken())
        with self.assertRaisesRegex(KeyError, "mine"):
            async for _ in self.client.converse("double", broken()):
                pass
        with self.assertRaisesRegex(TypeError, "JSON cannot carry"):
            await self.client.upload("total", [1, object()])

    async def test_cancelling_a_task_cancels_its_call(self) -> None:
        pid = await self.client.call("who")
        task = asyncio.ensure_future(self.client.call("until_cancelled", file=str(self.note)))
        await until(lambda: text(self.note) == "runs")
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        await until(lambda: text(self.note) == "cancelled")
        self.note.unlink()

        async def read() -> None:
            async for _ in self.client.stream("until_cancelled", file=str(self.note)):
                pass

        task = asyncio.ensure_future(read())
        await until(lambda: text(self.note) == "runs")
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        await until(lambda: text(self.note) == "cancelled")
        self.assertEqual(await self.client.call("who"), pid)

    async def test_a_slow_reader_stops_the_tool_and_closing_frees_it(self) -> None:
        pid = await self.client.call("who")
        block = {"size": 100_000, "note": str(self.note)}
        items = self.client.stream("blocks", block, content_type="msgpack")
        self.assertEqual(len(await items.__anext__()), 100_000)
        seen: list[int] = []
        # Nobody reads. It runs until every window between it and us is full.
        while not stands_still(await self.client.dump_stacks("default"), seen, self.note):
            self.assertLess(len(seen), 2_000, "the tool does not stand still")
        self.assertLess(seen[-1], 200)
        await items.aclose()
        self.assertEqual([item async for item in items], [])
        self.assertEqual(await self.client.call("who", timeout=20), pid)
        async with self.client.stream("count", until=10_000_000) as left:
            async for item in left:
                if item == 3:
                    break
        self.assertEqual(await self.client.call("who", timeout=20), pid)
        lost = self.client.stream("count", until=10_000_000)
        await lost.__anext__()
        del lost, left, items
        gc.collect()
        self.assertEqual(await self.client.call("who", timeout=20), pid)

    async def test_another_task_may_close_a_stream(self) -> None:
        items = self.client.stream("until_cancelled", file=str(self.note))

        async def read() -> list[Any]:
            return [item async for item in items]

        reader = asyncio.ensure_future(read())
        await until(lambda: text(self.note) == "runs")
        await items.aclose()
        self.assertEqual(await reader, [])
        await until(lambda: text(self.note) == "cancelled")

    async def test_a_refused_call_is_tried_again_and_runs_once(self) -> None:
        strictly: dict[str, Any] = {
            "file": str(self.daemon.folder / "ran"),
            "affinity": "k",
            "affinity_mode": "strict_fail_fast",
            "retries": 10,
        }

        async def stream() -> list[Any]:
            return [item async for item in self.client.stream("mark", **strictly)]

        self.assertEqual(await self.try_again(lambda: self.client.call("mark", **strictly)), "rested")
        self.assertEqual(await self.try_again(stream), ["rested"])
        self.assertEqual(text(self.daemon.folder / "ran"), "xx")

    async def try_again(self, ask: Callable[[], Awaitable[Any]]) -> object:
        self.note.write_text("")
        taken = self.client.stream("until_cancelled", file=str(self.note), affinity="k")
        await until(lambda: text(self.note) == "runs")
        waits: list[float | None] = []

        def decide(*given: Any) -> float | None:
            waits.append(pause(*given))
            if len(waits) == 2:
                taken.cancel()
            return waits[-1]

        with mock.patch.object(tries, "pause", decide):
            said = await ask()
        self.assertGreaterEqual(len(waits), 2)
        return said

    async def test_a_closed_client_says_so(self) -> None:
        client = aio.Client(self.daemon.socket)
        call = asyncio.ensure_future(client.call("until_cancelled", file=str(self.note)))
        await until(lambda: text(self.note) == "runs")
        await client.close()
        with self.assertRaises((sidewinder.CallCancelled, asyncio.CancelledError)):
            await call
        await until(lambda: text(self.note) == "cancelled")
        with self.assertRaisesRegex(ValueError, "closed"):
            await client.call("add", a=1)
        with self.assertRaisesRegex(ValueError, "closed"):
            client.stream("count", until=1)


if __name__ == "__main__":
    unittest.main()
