"""Many callers of one client: threads, tasks, and both sides of every answer still belong together."""

from __future__ import annotations

import asyncio
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor

from sidewinder import aio

from .daemon import Daemon

CALLS = 200
THREADS = 16


class Crowds(unittest.TestCase):
    daemon: Daemon

    @classmethod
    def setUpClass(cls) -> None:
        cls.daemon = Daemon(workers=4)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.daemon.close()

    def test_threads_share_a_client(self) -> None:
        with self.daemon.client() as client, ThreadPoolExecutor(THREADS) as pool:
            together = threading.Barrier(THREADS)

            def call(number: int) -> object:
                if number < THREADS:
                    together.wait(20)
                if number % 4 == 3:
                    return list(client.stream("count", until=number))
                return client.call("add", a=number, b=number)

            answers = list(pool.map(call, range(CALLS)))
        for number, answer in enumerate(answers):
            self.assertEqual(answer, list(range(number)) if number % 4 == 3 else 2 * number)

    def test_tasks_share_a_client(self) -> None:
        async def all_at_once() -> list[int]:
            async with aio.Client(self.daemon.socket) as client:
                return list(await asyncio.gather(*(client.call("add", a=n, b=n) for n in range(CALLS))))

        self.assertEqual(asyncio.run(all_at_once()), [2 * n for n in range(CALLS)])


if __name__ == "__main__":
    unittest.main()
