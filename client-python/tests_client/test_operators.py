"""Orders and what comes of them, as an operator's program sees both."""

from __future__ import annotations

import asyncio
import unittest

import sidewinder
from sidewinder import aio

from .daemon import Daemon, eventually, text


class Orders(unittest.TestCase):
    def setUp(self) -> None:
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.client = self.daemon.client(retries=0)
        self.addCleanup(self.client.close)
        self.client.call("add", a=1)

    def phase(self) -> str:
        return self.client.pools("default")[0].phase

    def test_a_pool_is_drained_and_comes_back(self) -> None:
        self.client.drain("default", within=5)
        eventually(lambda: self.phase() == "drained", "it is drained")
        with self.assertRaises(sidewinder.Refusal) as refused:
            self.client.call("add", a=1)
        self.assertEqual((refused.exception.reason, refused.exception.ran), ("DRAINING", "no"))
        self.client.resume("default")
        self.assertEqual(self.client.call("add", a=1), 3)

    def test_workers_are_replaced(self) -> None:
        pid = self.client.call("who")
        self.client.restart("default", slot=0)
        eventually(lambda: self.client.call("who") != pid, "another worker")
        with self.assertRaises(sidewinder.BadRequest) as unknown:
            self.client.restart("default", slot=77)
        self.assertEqual(unknown.exception.reason, "UNKNOWN_WORKER")
        with self.assertRaises(sidewinder.BadRequest):
            self.client.restart("other")

    def test_a_pool_gets_another_size(self) -> None:
        before = self.client.resize("default", sidewinder.Size(min=2, max=3, spare=0, headroom=1))
        self.assertEqual((before.min, before.max), (1, 1))
        eventually(lambda: self.client.pools()[0].ready == 2, "two workers")
        with self.assertRaises(sidewinder.BadRequest) as wrong:
            self.client.resize("default", sidewinder.Size(min=3, max=2, spare=0, headroom=1))
        self.assertEqual(wrong.exception.field, "size")

    def test_workers_say_where_they_are(self) -> None:
        file = self.daemon.folder / "file"
        with self.client.stream("until_cancelled", file=str(file)):
            eventually(lambda: text(file) == "runs", "it runs")
            (stacks,) = self.client.dump_stacks("default")
        self.assertEqual(stacks.worker, "0.1")
        self.assertIn("until_cancelled", stacks.text)

    def test_a_daemon_that_cannot_be_replaced_says_so(self) -> None:
        with self.assertRaises(sidewinder.BadRequest) as caught:
            self.client.upgrade()
        self.assertEqual(caught.exception.reason, "CANNOT_UPGRADE")

    def test_a_reload_says_what_it_changed(self) -> None:
        pid = self.client.call("who")
        reloaded = self.client.reload(renew=["default"])
        self.assertEqual((reloaded.renewed, reloaded.added, reloaded.removed), (("default",), (), ()))
        eventually(lambda: self.client.call("who") != pid, "another worker")

    def test_quit_ends_the_daemon(self) -> None:
        self.client.quit(within=0)
        self.assertEqual(self.daemon.ended(), 0)

    def test_events_are_told_as_they_happen(self) -> None:
        with self.client.watch() as events:
            with self.assertRaises(sidewinder.Failure):
                self.client.call("leave", status=7)
            for event in events:
                if event.what == "worker_gone":
                    break
            self.assertEqual((event.pool, event.worker, event.facts["exit_status"]), ("default", "0.1", "7"))
            assert event.at is not None
            following = next(events)
            self.assertGreater(following.sequence, event.sequence)
        asyncio.run(self.watch_tasks())

    async def watch_tasks(self) -> None:
        async with aio.Client(self.daemon.socket) as client:
            async with client.watch(["default"]) as events:
                await client.drain("default", within=5)
                async for event in events:
                    if event.what == "pool_phase":
                        break
                self.assertEqual((event.pool, event.worker), ("default", ""))
            await client.resume("default")
            await client.restart("default")
            before = await client.resize("default", sidewinder.Size(min=1, max=2, spare=0, headroom=1))
            self.assertEqual(before.max, 1)
            self.assertIsInstance(await client.dump_stacks("default"), list)
            self.assertEqual((await client.reload(renew=["default"])).renewed, ("default",))
            await client.quit(within=0)
        self.assertEqual(self.daemon.ended(), 0)


if __name__ == "__main__":
    unittest.main()
