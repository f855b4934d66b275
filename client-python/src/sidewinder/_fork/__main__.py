"""`python3 -m sidewinder._fork`: a fork server, on the sockets that its daemon and its keeper gave it."""

from __future__ import annotations

import sys

from .refusal import lacking

if __name__ == "__main__":
    try:
        from .server import main
    except ImportError as error:
        lacking(error)
    sys.exit(main())
