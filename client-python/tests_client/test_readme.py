"""The examples of the README run: its first one is what the daemon serves, the client's ones call it."""

from __future__ import annotations

import re
import subprocess
import sys
import unittest

from . import ROOM
from .daemon import Daemon


class Examples(unittest.TestCase):
    def test_every_example_of_the_client_runs(self) -> None:
        readme = (ROOM / "README.md").read_text()
        tools, client = readme.split("## The client")
        blocks = re.findall(r"```python\n(.*?)```", client, re.DOTALL)
        self.assertGreaterEqual(len(blocks), 3)
        (shop,) = re.findall(r"```python\n(.*?)```", tools, re.DOTALL)
        with Daemon(tools="shop", files={"shop.py": shop}) as daemon:
            for block in blocks:
                done = subprocess.run(
                    [sys.executable, "-W", "error", "-c", block],
                    env=daemon.surroundings({"PYTHONPATH": str(ROOM / "src")}),
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=60,
                )
                self.assertEqual((done.returncode, done.stderr), (0, ""), block)


if __name__ == "__main__":
    unittest.main()
