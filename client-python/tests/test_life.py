"""A life from its hello to its end: who is fit, what is kept, and every way to leave."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import sidewinder
from sidewinder._frames import Frame, Kind, Tag

from . import ROOM, SOURCE, TOOLS
from .driver import Worker, ready, text


class Starting(unittest.TestCase):
    def test_hello_comes_before_anything_is_imported(self) -> None:
        with Worker("does_not_matter", welcome=False) as worker:
            hello = worker.hello
            self.assertEqual(hello.kind, Kind.HELLO)
            self.assertEqual((hello.number(Tag.OLDEST), hello.number(Tag.NEWEST)), (1, 1))
            self.assertRegex(text(hello, Tag.LANGUAGE), r"^python 3\.\d+\.\d+")
            self.assertEqual(text(hello, Tag.RUNTIME), sidewinder.__version__)
            self.assertEqual(hello.number(Tag.PID), worker.process.pid)
            worker.control.close()
            self.assertEqual(worker.status(), 0)

    def unfit(self, message: str, trace: str, **options: Any) -> None:
        with Worker(**options) as worker:
            frame = worker.hear(worker.control)
            self.assertEqual(frame.kind, Kind.UNFIT)
            self.assertRegex(text(frame, Tag.MESSAGE), message)
            self.assertIn(trace, text(frame, Tag.TRACEBACK))
            self.assertEqual(worker.status(), 3)

    def test_it_holds_the_folder_that_a_daemon_has_put_it_into(self) -> None:
        with tempfile.TemporaryDirectory() as base:
            folder = os.path.join(base, "runtime-0123456789abcdef")
            shutil.copytree(SOURCE, folder)
            handle = os.open(folder, os.O_RDONLY)
            try:
                with Worker(environment={"PYTHONPATH": folder}) as worker:
                    worker.ready()
                    with self.assertRaises(BlockingIOError):
                        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            finally:
                os.close(handle)

    def test_tools_that_cannot_be_served(self) -> None:
        self.unfit("ModuleNotFoundError: No module named 'nowhere'", "nowhere", tools="nowhere")
        self.unfit("ZeroDivisionError", '/broken_module.py", line', tools="broken_module")
        self.unfit("SystemExit: no", "broken_setup.py", tools="broken_setup")
        self.unfit("no function is decorated .* in json", "", tools="json")
        self.unfit("are empty", "", tools="")
        self.unfit("AttributeError: .*sqr", "", tools="", expose="math:sqr")
        self.unfit("pi is not a function, but float", "", tools="", expose="math:pi")
        self.unfit("not of the form", "", tools="", expose="math")
        self.unfit("two tools are called add: plain.add and .*operator.add", "", expose="operator:add")
        self.unfit("from 1 to 1024, not 'many'", "", environment={"SIDEWINDER_SEATS": "many"})

    def test_an_existing_module_is_exposed(self) -> None:
        with ready("", expose="math:sqrt, json:dumps, os.path:join") as worker:
            self.assertEqual(worker.value("sqrt", [9]), 3.0)
            self.assertEqual(worker.value("dumps", {"obj": [1], "indent": None}), "[1]")
            self.assertEqual(worker.value("join", ["a", "b", "c"]), os.path.join("a", "b", "c"))

    def test_an_exposed_tool_is_one_tool(self) -> None:
        with Worker(expose="plain:add") as worker:
            names = [tool["name"] for tool in worker.ready()["tools"]]
            self.assertEqual(names.count("add"), 1)

    def test_what_is_offered(self) -> None:
        with Worker() as worker:
            tools = {tool["name"]: tool for tool in worker.ready()["tools"]}
        self.assertEqual(
            tools["add"],
            {
                "name": "add",
                "kind": "function",
                "doc": "Adds.",
                "parameters": [
                    {"name": "a", "type": "int", "required": True},
                    {"name": "b", "type": "int", "required": False, "default": 1},
                ],
                "returns": "int",
            },
        )
        self.assertEqual((tools["count"]["kind"], tools["count"]["returns"]), ("generator", "Iterator[int]"))
        times = {"name": "times", "type": "int", "required": False, "default": 1}
        self.assertEqual(tools["says"]["parameters"], [times])
        self.assertEqual(tools["placed"]["parameters"][-1]["variadic"], "places")
        self.assertEqual(tools["options"]["parameters"][-1]["variadic"], "names")

    def test_the_same_on_the_command_line(self) -> None:
        command = [sys.executable, "-m", "sidewinder", "tools", "plain", "math:sqrt"]
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"}
        shown = subprocess.run(command, cwd=TOOLS, env=environment, capture_output=True, check=True)
        names = {tool["name"] for tool in json.loads(shown.stdout)["tools"]}
        self.assertTrue({"add", "named", "sqrt"} <= names)
        usage = subprocess.run(command[:3], cwd=TOOLS, env=environment, capture_output=True, check=False)
        self.assertEqual((usage.returncode, usage.stderr[:5]), (2, b"usage"))

    def test_by_hand(self) -> None:
        command = [sys.executable, "-m", "sidewinder.worker"]
        environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b"is started by a daemon", done.stderr)

    def test_the_example_of_the_readme(self) -> None:
        read = (ROOM / "README.md").read_text()
        example = read.split("```python\n")[1].split("```")[0]
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "shop.py").write_text(example)
            with ready("shop", cwd=folder) as worker:
                self.assertEqual(worker.value("add", {"a": 1}), 2)
                self.assertEqual(worker.value("look", {"word": "two"}), 2)
                self.assertEqual(worker.value("count", {"to": 2}), [0, 1])
                worker.tell(Kind.DRAIN)
                self.assertEqual((worker.status(), worker.stdout()), (0, "goodbye\n"))


class Leaving(unittest.TestCase):
    def drained(self, worker: Worker, said: str) -> None:
        self.assertEqual(worker.status(), 0)
        self.assertEqual(worker.stdout(), said)

    def test_an_idle_worker_is_drained(self) -> None:
        for tools, seats, said in [
            ("plain", 1, "torn down first\ntorn down last\n"),
            ("plain", 3, "torn down first\ntorn down last\n"),
            ("asynchronous", 1, "connected\ndisconnected\n"),
        ]:
            with ready(tools, seats=seats) as worker:
                worker.tell(Kind.DRAIN)
                self.drained(worker, said)
            with ready(tools, seats=seats) as worker:
                worker.signal(signal.SIGTERM)
                self.drained(worker, said)

    def test_what_runs_is_finished_first(self) -> None:
        for tools, seats in [("plain", 1), ("plain", 2), ("asynchronous", 1)]:
            with ready(tools, seats=seats) as worker:
                call = worker.start("count", [3], credit=1)
                self.assertEqual(worker.next_item(call), 0)
                worker.tell(Kind.DRAIN)
                worker.ping()
                worker.credit(call, 9)
                self.assertEqual([worker.next_item(call), worker.next_item(call)], [1, 2])
                self.assertEqual(worker.ending(call).kind, Kind.END)
                self.assertEqual(worker.status(), 0)

    def test_what_was_sent_before_the_drain_is_answered(self) -> None:
        for seats in (1, 2):
            with ready(seats=seats) as worker:
                call = worker.start("add", [1])
                worker.tell(Kind.DRAIN)
                self.assertEqual(worker.ending(call).kind, Kind.ANSWER)
                self.assertEqual(worker.status(), 0)

    def test_a_strike_does_not_swallow_the_end(self) -> None:
        """The cancellation may hit the handler of SIGTERM instead of the tool."""
        for seats in (1, 1, 1, 2):
            with ready(seats=seats) as worker:
                call = worker.start("spin")
                worker.logged()
                worker.cancel(call)
                worker.signal(signal.SIGTERM)
                self.assertEqual(worker.ending(call).first(Tag.CANCELLED), b"1")
                self.assertEqual(worker.status(), 0)

    def test_the_owner_is_gone(self) -> None:
        for seats in (1, 2):
            for which in ("calls", "control"):
                for busy in (False, True):
                    with self.subTest(which=which, busy=busy), ready(seats=seats) as worker:
                        if busy:
                            worker.start("sleeps")
                            worker.logged()
                        if busy and seats == 1 and which == "calls":
                            worker.control.close()  # nobody reads calls while the only seat is busy
                        (worker.calls if which == "calls" else worker.control).close()
                        self.assertEqual(worker.status(), 0)
                        self.assertEqual(worker.stdout(), "")

    def test_a_tool_that_ends_the_process(self) -> None:
        with ready() as worker:
            call = worker.start("dies", [9])
            with self.assertRaisesRegex(EOFError, "status 9"):
                worker.ending(call)


class Endings(unittest.TestCase):
    def standing(self, worker: Worker) -> list[tuple[int, int, bytes]]:
        """What it says of itself after a resync."""
        worker.tell(Kind.RESYNC, [(Tag.PING, 43)])
        return self.told(worker, 43)

    def told(self, worker: Worker, number: int) -> list[tuple[int, int, bytes]]:
        found: list[tuple[int, int, bytes]] = []
        while True:
            frame = worker.hear(worker.control)
            if frame.kind not in (Kind.RUNS, Kind.KEEPS, Kind.RESYNCED):
                continue
            self.assertEqual(frame.number(Tag.PING), number)
            if frame.kind == Kind.RESYNCED:
                return found
            found.append((frame.kind, frame.call, frame.first(Tag.MEMO) or b""))

    def again(self, worker: Worker, count: int) -> list[Frame]:
        """So many endings after a resync, which may come in any order."""
        kept = [call for kind, call, _ in self.standing(worker) if kind == Kind.KEEPS]
        self.assertEqual(len(kept), count)
        return sorted((worker.hear(worker.calls) for _ in range(count)), key=lambda frame: frame.call)

    def test_each_daemon_is_answered_with_its_number(self) -> None:
        with ready() as worker:
            ending = worker.call("add", [1])
            for number in (1, 2**63):
                worker.tell(Kind.RESYNC, [(Tag.PING, number)])
            for number in (1, 2**63):
                self.assertEqual(self.told(worker, number), [(Kind.KEEPS, ending.call, b"")])

    def test_they_are_said_again_until_they_are_heard(self) -> None:
        for seats in (1, 2):
            with ready(seats=seats) as worker:
                first, second = worker.call("add", [1]), worker.call("add", [2])
                self.assertEqual(self.again(worker, 2), [first, second])
                worker.say(Kind.HEARD, 0, [(Tag.HEARD, first.call), (Tag.HEARD, 12345)])
                third = worker.call("add", [3])  # read after the heard
                self.assertEqual(self.again(worker, 2), [second, third])
                fourth = worker.call("add", [4], fields=[(Tag.HEARD, second.call), (Tag.HEARD, third.call)])
                self.assertEqual(self.again(worker, 1), [fourth])

    def test_while_a_tool_runs(self) -> None:
        with ready() as worker:
            first = worker.call("add", [1])
            worker.start("polls")
            worker.logged()
            self.assertEqual(self.again(worker, 1), [first])

    def test_what_runs_and_what_is_kept_is_told_with_its_memo(self) -> None:
        for seats in (1, 2):
            with ready(seats=seats) as worker:
                done = worker.call("add", [1], fields=[(Tag.MEMO, b"one")])
                runs = worker.start("polls", fields=[(Tag.MEMO, b"two")])
                worker.logged()
                said = self.standing(worker)
                self.assertEqual(said, [(Kind.RUNS, runs, b"two"), (Kind.KEEPS, done.call, b"one")])
                self.assertEqual(worker.hear(worker.calls), done)

    def test_only_the_last_64_are_kept(self) -> None:
        with ready() as worker:
            frames = [worker.call("add", [number]) for number in range(70)]
            self.assertEqual(self.again(worker, 64), frames[6:])

    def test_only_16_mebibytes_are_kept(self) -> None:
        with ready() as worker:
            for _ in range(3):
                worker.call("big", [7 << 20])
            said = self.again(worker, 2)
            self.assertEqual([frame.call for frame in said], [2, 3])
            worker.call("big", [17 << 20])
            self.assertEqual(self.again(worker, 2), said)
            self.assertEqual(worker.value("add", [1]), 2)
