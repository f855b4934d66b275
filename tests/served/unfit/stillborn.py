"""Leaves when it is imported."""

import os
import sys

print("the last words of a stillborn", file=sys.stderr)
os._exit(9)
