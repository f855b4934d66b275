"""Tests of the client: messages by themselves, and the real daemon with real workers.

They need grpcio and protobuf, as `.venv` has them, and the daemon's binary, named by SIDEWINDER_BIN or built
in the target directory. Nothing is skipped: what is missing is an error.

    .venv/bin/python -m unittest discover -s client-python/tests_client -t client-python
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

ROOM = Path(__file__).resolve().parent.parent
TOOLS = ROOM / "tests_client" / "tools"
sys.path.insert(0, str(ROOM / "src"))
warnings.simplefilter("error")
