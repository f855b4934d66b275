"""What the client decides by itself, and that a worker does without it: no grpcio, no protobuf, no daemon."""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import sidewinder
from sidewinder._client.errors import Details, Error, error
from sidewinder._client.place import default_socket, target
from sidewinder._client.retrying import PAUSE_MAX, PAUSE_MIN, pause

from . import SOURCE, TOOLS
from .driver import ready

# Put before a program: whatever imports these fails, as where they are not installed.
WITHOUT = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("grpc", "google"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Nothing())
"""


def run(program: str) -> str:
    """What a program prints that has no grpcio and no protobuf."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-W", "error", "-c", WITHOUT + program]
    done = subprocess.run(command, env=environment, cwd=TOOLS, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout


class Without(unittest.TestCase):
    def test_a_worker_never_imports_the_client(self) -> None:
        program = "import sidewinder, sidewinder.worker, sidewinder._life.start, plain, sys\n"
        self.assertEqual(run(program + 'print([n for n in sys.modules if "_client" in n])'), "[]\n")

    def test_a_worker_serves_where_grpc_cannot_be_imported(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name in ("grpc.py", "google.py"):
                Path(folder, name).write_text("raise ImportError('a worker imports this')\n")
            path = {"PYTHONPATH": f"{SOURCE}{os.pathsep}{folder}"}
            with ready("plain", environment=path) as worker:
                self.assertEqual(worker.value("add", {"a": 1, "b": 2}), 3)

    def test_the_client_says_what_to_install(self) -> None:
        for wanted in ("sidewinder.Client", "sidewinder.Pool", "sidewinder.aio", "sidewinder.aio.Client"):
            program = f"""
import sidewinder
try:
    {wanted}
except ImportError as error:
    print(error)
"""
            self.assertIn("pip install grpcio protobuf", run(program), wanted)
        self.assertIn("pip install", run("try:\n import sidewinder.aio\nexcept ImportError as e: print(e)"))
        self.assertIn(
            "pip install", run("try:\n from sidewinder import Client\nexcept ImportError as e: print(e)")
        )

    def test_errors_can_be_caught_anywhere(self) -> None:
        self.assertEqual(run("import sidewinder; print(sidewinder.Refusal.__mro__[1].__name__)"), "Error\n")

    def test_other_names_are_not_there(self) -> None:
        with self.assertRaisesRegex(AttributeError, "no attribute 'Clients'"):
            getattr(sidewinder, "Clients")  # noqa: B009
        self.assertIn("Client", dir(sidewinder))
        self.assertNotIn("Client", sidewinder.__all__)


class Places(unittest.TestCase):
    def test_addresses_are_understood_as_people_write_them(self) -> None:
        here = os.getcwd()
        for written, understood in (
            ("unix:/a/b.sock", "unix:/a/b.sock"),
            ("/a/b.sock", "unix:/a/b.sock"),
            (Path("/a/b.sock"), "unix:/a/b.sock"),
            (Path("b.sock"), f"unix:{here}/b.sock"),
            ("./b.sock", f"unix:{here}/b.sock"),
            ("127.0.0.1:7070", "127.0.0.1:7070"),
            ("dns:///workers:7070", "dns:///workers:7070"),
        ):
            self.assertEqual(target(written), understood)
        with self.assertRaisesRegex(ValueError, "empty"):
            target("")

    @mock.patch("sidewinder._client.place.SYSTEM", Path("/nowhere"))
    def test_the_socket_of_this_user_is_where_the_daemon_puts_it(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            named = {"SIDEWINDER_RUNTIME_DIR": f"{folder}/named", "XDG_RUNTIME_DIR": folder}
            self.assertEqual(default_socket(named), Path(folder, "named/sidewinder.sock"))
            session = {"SIDEWINDER_RUNTIME_DIR": "", "XDG_RUNTIME_DIR": folder}
            self.assertEqual(default_socket(session), Path(folder, "sidewinder/sidewinder.sock"))
            with mock.patch.dict(os.environ, session):
                self.assertEqual(target(None), f"unix:{folder}/sidewinder/sidewinder.sock")
        with mock.patch("os.geteuid", return_value=987654):
            self.assertEqual(default_socket({}), Path("/tmp/sidewinder-987654/sidewinder.sock"))
        with mock.patch("os.geteuid", return_value=0), mock.patch("os.lstat", side_effect=FileNotFoundError):
            self.assertEqual(default_socket({}), Path("/run/sidewinder/sidewinder.sock"))

    def test_a_socket_that_is_named_goes_first_and_that_of_the_system_last(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            own, system = Path(folder, "sidewinder/sidewinder.sock"), Path(folder, "system.sock")
            session = {"XDG_RUNTIME_DIR": folder}
            named = {**session, "SIDEWINDER_LISTEN_SOCKET": f"{folder}/named.sock"}
            with mock.patch("sidewinder._client.place.SYSTEM", system):
                self.assertEqual(default_socket(session), own)
                system.touch()
                self.assertEqual(default_socket(session), system)
                self.assertEqual(default_socket(named), Path(folder, "named.sock"))
                own.parent.mkdir(mode=0o777)
                own.parent.chmod(0o777)
                self.assertEqual(default_socket(session), system)
                own.parent.chmod(0o700)
                own.touch()
                self.assertEqual(default_socket(session), own)

    @mock.patch("sidewinder._client.place.SYSTEM", Path("/nowhere"))
    def test_a_place_of_somebody_else_is_refused(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            base = Path(folder, "base")
            named = {"SIDEWINDER_RUNTIME_DIR": str(base)}
            base.mkdir()
            default_socket(named)
            base.chmod(stat.S_IRWXU | stat.S_IWOTH)
            with self.assertRaisesRegex(PermissionError, "SIDEWINDER_RUNTIME_DIR"):
                default_socket(named)
            base.chmod(stat.S_IRWXU)
            with mock.patch("os.geteuid", return_value=os.geteuid() + 1), self.assertRaises(PermissionError):
                default_socket(named)
            link = Path(folder, "link")
            link.symlink_to(base)
            with self.assertRaises(PermissionError):
                default_socket({"SIDEWINDER_RUNTIME_DIR": str(link)})


def refusal(ran: str = "no", retry_after: float | None = 0.1) -> Error:
    return error("full", Details("QUEUE_FULL", "RESOURCE_EXHAUSTED", {"ran": ran}, retry_after))


class Pauses(unittest.TestCase):
    def test_only_what_did_not_run_and_may_be_tried_again(self) -> None:
        self.assertEqual(pause(refusal(), 0, 4, None, 0.0), 0.1)
        self.assertIsNone(pause(refusal("maybe"), 0, 4, None, 0.0))
        self.assertIsNone(pause(refusal("unheard"), 0, 4, None, 0.0))
        self.assertIsNone(pause(refusal(retry_after=None), 0, 4, None, 0.0))
        silent = error("?", Details("QUEUE_FULL", "RESOURCE_EXHAUSTED", {}, 0.1))
        self.assertIsNone(pause(silent, 0, 4, None, 0.0))

    def test_the_count_and_the_deadline_are_bounds(self) -> None:
        self.assertIsNone(pause(refusal(), 4, 4, None, 0.0))
        self.assertIsNone(pause(refusal(), 0, 0, None, 0.0))
        self.assertIsNone(pause(refusal(), 0, 4, 0.1, 0.0))
        self.assertEqual(pause(refusal(), 0, 4, 0.11, 0.0), 0.1)

    def test_pauses_double_with_some_chance_and_have_an_end(self) -> None:
        self.assertEqual([pause(refusal(), tried, 99, None, 0.0) for tried in range(4)], [0.1, 0.2, 0.4, 0.8])
        self.assertAlmostEqual(pause(refusal(), 1, 99, None, 0.5) or 0, 0.25)
        self.assertEqual(pause(refusal(), 80, 99, None, 0.0), PAUSE_MAX)
        self.assertEqual(pause(refusal(retry_after=0.0), 0, 99, None, 0.0), PAUSE_MIN)


class Errors(unittest.TestCase):
    def test_they_survive_being_sent_to_another_process(self) -> None:
        first = refusal()
        second = pickle.loads(pickle.dumps(first))
        self.assertIs(type(second), sidewinder.Refusal)
        self.assertEqual((str(second), second.details), (str(first), first.details))


if __name__ == "__main__":
    unittest.main()
