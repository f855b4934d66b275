"""A worker that has run away in part before it could be asked for anything: its hook left a daemon."""

import os
import time

import sidewinder


@sidewinder.after_fork
def run_away() -> None:
    if not os.fork():
        os.setsid()
        if os.fork():
            os._exit(0)
        while True:
            time.sleep(1000)
    os.wait()


@sidewinder.tool
def nothing() -> int:
    """Does nothing."""
    return 1
