"""Calls that do not go well: what is known of each error, what is tried again, and what never is."""

from __future__ import annotations

import asyncio
import functools
import signal
import threading
import time
import unittest
from collections.abc import Callable
from typing import Any
from unittest import mock

import sidewinder
from sidewinder import aio
from sidewinder._client import tries
from sidewinder._client.retrying import pause

from .daemon import Daemon, busy, eventually, text


class Errors(unittest.TestCase):
    daemon: Daemon
    client: sidewinder.Client

    @classmethod
    def setUpClass(cls) -> None:
        cls.daemon = Daemon()
        cls.client = cls.daemon.client()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.client.close()
        cls.daemon.close()

    def test_what_a_tool_raises_is_an_answer(self) -> None:
        with self.assertRaises(sidewinder.Raised) as caught:
            self.client.call("fail", message="on purpose: yes", note="look there")
        error = caught.exception
        self.assertEqual((error.reason, error.exception, error.ran), ("RAISED", "ValueError", "maybe"))
        self.assertEqual((str(error), error.text), ("ValueError: on purpose: yes", "on purpose: yes"))
        self.assertEqual(error.notes, ("look there",))
        self.assertIn("in fail", error.traceback)
        self.assertIn("served.py", error.traceback)
        shown = "".join(getattr(error, "__notes__", [error.traceback]))
        self.assertIn("in fail", shown, "an uncaught error shows where the tool was")

    def test_what_makes_no_sense_never_ran(self) -> None:
        bad, rejected = sidewinder.BadRequest, sidewinder.Rejected
        cases: list[tuple[type[sidewinder.Error], str, str, dict[str, Any]]] = [
            (rejected, "UNKNOWN_TOOL", "no_such_tool", {}),
            (rejected, "BAD_ARGUMENTS", "add", {"c": 1}),
            (rejected, "BAD_CONTENT_TYPE", "add", {"arguments": b"a,b", "content_type": "text/csv"}),
            (bad, "UNKNOWN_POOL", "add", {"pool": "other", "a": 1}),
            (bad, "BAD_REQUEST", "", {}),
            (bad, "BAD_REQUEST", "add", {"affinity": ""}),
        ]
        for kind, reason, tool, options in cases:
            with self.subTest(tool=tool, options=options):
                arguments = options.pop("arguments", None)
                with self.assertRaises(kind) as caught:
                    self.client.call(tool, arguments, **options)
                self.assertEqual((caught.exception.reason, caught.exception.ran), (reason, "no"))
        with self.assertRaises(bad) as wrong:
            self.client.call("")
        self.assertEqual(wrong.exception.field, "call.tool")

    def test_each_death_is_told(self) -> None:
        with self.assertRaises(sidewinder.Failure) as caught:
            self.client.call("leave", status=7)
        error = caught.exception
        self.assertEqual((error.reason, error.ran, error.exit_status), ("WORKER_DIED", "maybe", 7))
        assert error.worker is not None
        self.assertRegex(error.worker, r"^0\.[0-9]+$")
        self.assertEqual((error.metadata["pool"], error.metadata["tool"]), ("default", "leave"))
        self.assertIn("about to leave", error.last_lines)
        with self.assertRaises(sidewinder.Failure) as caught:
            self.client.call("kill", signal=int(signal.SIGKILL))
        self.assertEqual((caught.exception.signal, caught.exception.exit_status), (9, None))
        self.assertEqual(self.client.call("add", a=1), 3)

    def test_a_failure_is_never_tried_again(self) -> None:
        file = self.daemon.folder / "left"
        with self.assertRaises(sidewinder.Failure):
            self.client.call("leave", status=1, file=str(file), retries=50)
        with self.assertRaises(sidewinder.Failure):
            list(self.client.stream("leave", status=1, file=str(file), retries=50))
        self.assertEqual(text(file), "xx")

    def test_a_deadline_frees_the_worker(self) -> None:
        pid = self.client.call("who")
        file = self.daemon.folder / "late"
        begun = time.monotonic()
        with self.assertRaises(TimeoutError) as caught:
            self.client.call("until_cancelled", file=str(file), timeout=1.0)
        self.assertLess(time.monotonic() - begun, 5)
        self.assertIsInstance(caught.exception, sidewinder.Error)
        eventually(lambda: text(file) == "cancelled", "the tool hears of it")
        self.assertEqual(self.client.call("who"), pid)

    def test_a_call_that_only_waited_did_not_run(self) -> None:
        runs, waits = self.daemon.folder / "runs", self.daemon.folder / "waits"
        with self.client.stream("until_cancelled", file=str(runs)):
            eventually(lambda: text(runs) == "runs", "the worker is taken")
            with self.assertRaises(TimeoutError):
                self.client.call("mark", file=str(waits), timeout=0.2)
        self.assertEqual(self.client.call("add", a=1), 3)
        self.assertEqual(text(waits), "")

    def test_closing_the_client_cancels_what_runs(self) -> None:
        file = self.daemon.folder / "closed"
        client = self.daemon.client()
        got: list[BaseException] = []

        def call() -> None:
            try:
                client.call("until_cancelled", file=str(file))
            except BaseException as error:
                got.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        eventually(lambda: text(file) == "runs", "it runs")
        client.close()
        thread.join()
        self.assertIsInstance(got[0], sidewinder.CallCancelled)
        eventually(lambda: text(file) == "cancelled", "the tool hears of it")
        stream = functools.partial(client.stream, "count", until=1)
        for closed in (lambda: client.call("add", a=1), client.pools, stream):
            with self.assertRaisesRegex(ValueError, "closed"):
                closed()
        client.close()


class Retries(unittest.TestCase):
    def setUp(self) -> None:
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.client = self.daemon.client()
        self.addCleanup(self.client.close)
        self.file = self.daemon.folder / "ran"
        self.strictly: dict[str, Any] = {
            "file": str(self.file),
            "affinity": "k",
            "affinity_mode": "strict_fail_fast",
        }

    def taken(self) -> sidewinder.Items[Any]:
        """The worker of the affinity key, busy until this is closed."""
        file = self.daemon.folder / "taken"
        file.write_text("")
        items = self.client.stream("until_cancelled", file=str(file), affinity="k")
        eventually(lambda: text(file) == "runs", "the worker is taken")
        return items

    def test_retries_can_be_turned_off(self) -> None:
        with self.taken(), self.daemon.client(retries=0) as never:
            for client, retries in ((self.client, 0), (never, None)):
                with self.assertRaises(sidewinder.Refusal) as caught:
                    client.call("mark", **self.strictly, retries=retries)
                self.assertEqual((caught.exception.reason, caught.exception.ran), ("AFFINITY_BUSY", "no"))
                self.assertEqual(caught.exception.retry_after, 0.1)
        self.assertEqual(text(self.file), "")

    def test_a_refused_call_is_tried_again_and_runs_once(self) -> None:
        self.try_again(lambda: self.client.call("mark", **self.strictly, retries=10))
        self.try_again(lambda: next(self.client.stream("mark", **self.strictly, retries=10)))

    def try_again(self, ask: Callable[[], Any]) -> None:
        taken = self.taken()
        waits: list[float | None] = []

        def decide(*given: Any) -> float | None:
            waits.append(pause(*given))
            if len(waits) == 2:
                taken.close()
            return waits[-1]

        self.file.write_text("")
        with mock.patch.object(tries, "pause", decide):
            self.assertEqual(ask(), "rested")
        self.assertEqual(text(self.file), "x")
        self.assertGreaterEqual(len(waits), 2)

    def test_the_count_and_the_deadline_bound_the_tries(self) -> None:
        with self.taken():
            with mock.patch.object(tries, "pause", wraps=pause) as asked:
                with self.assertRaises(sidewinder.Refusal):
                    self.client.call("mark", **self.strictly, retries=2)
                self.assertEqual(asked.call_count, 3)
            begun = time.monotonic()
            with self.assertRaises(sidewinder.Refusal):
                self.client.call("mark", **self.strictly, retries=1000, timeout=1.0)
            self.assertLess(time.monotonic() - begun, 1.0)
        self.assertEqual(text(self.file), "")

    def test_a_full_line_refuses_and_is_tried_again(self) -> None:
        asyncio.run(self.fill_the_line())
        self.assertEqual(text(self.file), "x")

    async def fill_the_line(self) -> None:
        taken = self.taken()
        # A connection has a thousand calls at most, and the line a thousand places, shared fairly.
        async with aio.Client(self.daemon.socket) as one, aio.Client(self.daemon.socket) as two:
            calls = (client.call("add", a=n) for n in range(500) for client in (one, two))
            waiting = [asyncio.ensure_future(call) for call in calls]
            await asyncio.to_thread(eventually, lambda: self.client.pools()[0].waiting == 1000, "a full line")
            with self.assertRaises(sidewinder.Refusal) as caught:
                await one.call("mark", file=str(self.file), retries=0)
            self.assertEqual((caught.exception.reason, text(self.file)), ("QUEUE_FULL", ""))
            with mock.patch.object(tries, "pause", wraps=pause) as asked:
                mark = asyncio.ensure_future(one.call("mark", file=str(self.file), retries=20))
                await asyncio.to_thread(eventually, lambda: asked.call_count, "it was refused")
                taken.close()
                self.assertEqual(await mark, "rested")
            self.assertEqual(sum(await asyncio.gather(*waiting)), 2 * sum(range(2, 502)))


class Ends(unittest.TestCase):
    def test_no_daemon_is_said_with_what_to_do(self) -> None:
        with sidewinder.Client("unix:/nowhere/at.sock") as client:
            stream = functools.partial(client.stream, "count", until=1)
            for ask in (lambda: client.call("add", a=1), client.pools, lambda: next(stream())):
                with self.assertRaisesRegex(sidewinder.Unavailable, "sidewinder run --tools") as caught:
                    ask()
                self.assertEqual((caught.exception.ran, caught.exception.reason), ("no", "UNAVAILABLE"))
                self.assertIsInstance(caught.exception, ConnectionError)
            with self.assertRaisesRegex(TimeoutError, "nowhere.at.sock has not answered in time"):
                client.wait_ready(0.2)

    def test_a_daemon_that_dies_and_comes_back(self) -> None:
        with Daemon() as daemon, daemon.client() as client:
            file = daemon.folder / "runs"
            items = client.stream("until_cancelled", file=str(file))
            eventually(lambda: text(file) == "runs", "it runs")
            daemon.kill()
            with self.assertRaises(sidewinder.Unavailable) as caught:
                next(items)
            self.assertEqual(caught.exception.ran, "maybe")
            with self.assertRaises(sidewinder.Unavailable) as caught:
                client.call("add", a=1)
            self.assertEqual(caught.exception.ran, "no")
            ready: list[str] = []
            waiter = threading.Thread(target=lambda: ready.append(client.wait_ready().version))
            waiter.start()
            daemon.start()
            waiter.join()
            self.assertEqual(ready, [sidewinder.__version__])
            self.assertEqual(client.call("add", a=1), 3)

    def test_a_stop_lets_a_call_end(self) -> None:
        with Daemon() as daemon, daemon.client() as client:
            file = daemon.folder / "runs"
            said: list[str] = []
            mark = functools.partial(client.call, "mark", file=str(file), seconds=0.5)
            thread = threading.Thread(target=lambda: said.append(mark()))
            thread.start()
            eventually(lambda: text(file) == "x", "it runs")
            daemon.terminate()
            thread.join()
            self.assertEqual((said, daemon.ended()), (["rested"], 0))
            with self.assertRaises(sidewinder.Unavailable):
                client.call("add", a=1)

    def test_a_module_that_cannot_be_imported_is_what_the_caller_reads(self) -> None:
        with Daemon(tools="broken") as daemon, daemon.client() as client:
            with self.assertRaises(sidewinder.Refusal) as caught:
                client.call("add", a=1)
            error = caught.exception
            self.assertEqual((error.reason, error.ran, error.retry_after), ("UNFIT", "no", None))
            self.assertIn("no_such_module_anywhere", error.traceback)
            (pool,) = client.pools()
            self.assertIn("ModuleNotFoundError", pool.trouble)

    def test_a_tool_may_be_a_client_too(self) -> None:
        with Daemon(workers=2) as daemon, daemon.client() as client:
            self.assertEqual(client.call("ask", address=str(daemon.socket), a=40, timeout=20), 42)
            self.assertEqual(busy(client), 0)


if __name__ == "__main__":
    unittest.main()
