"""`python3 -m sidewinder.worker`: one life of a worker, on the sockets that its daemon gave it."""

from __future__ import annotations

import sys

from ._life.start import main

if __name__ == "__main__":
    sys.exit(main())
