"""Importing this leaves a daemon that has run away: its parent must not be forked."""

import os
import time

import sidewinder

if not os.fork():
    if not os.fork():
        os.setsid()
        time.sleep(1000)
    os._exit(0)
os.wait()


@sidewinder.tool
def nothing() -> int:
    """Is served all the same."""
    return 1
