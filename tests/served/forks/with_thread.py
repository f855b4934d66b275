"""Importing this leaves a thread: it must not be forked."""

import threading
import time

import sidewinder

threading.Thread(target=time.sleep, args=(1000,), name="busy-bee", daemon=True).start()


@sidewinder.tool
def nothing() -> int:
    """Is served all the same."""
    return 1
