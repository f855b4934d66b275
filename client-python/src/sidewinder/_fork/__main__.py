"""`python3 -m sidewinder._fork`: a fork server, on the sockets that its daemon and its keeper gave it."""

from __future__ import annotations

import sys

from .server import main

if __name__ == "__main__":
    sys.exit(main())
