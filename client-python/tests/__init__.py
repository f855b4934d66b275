"""Tests of the Python package: bytes by themselves, and the real worker over real socketpairs.

They run from a checkout with nothing installed, so the source folder is put on the path here.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOM = Path(__file__).resolve().parent.parent
SOURCE = ROOM / "src"
TOOLS = ROOM / "tests" / "tools"
sys.path.insert(0, str(SOURCE))
