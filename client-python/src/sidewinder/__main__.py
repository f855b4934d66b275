"""`python3 -m sidewinder tools MODULE…`: what these modules offer, as JSON. `module:function` exposes a
function."""

from __future__ import annotations

import json
import sys

from ._tools import offered

USAGE = "usage: python3 -m sidewinder tools MODULE[:FUNCTION]…"


def main(arguments: list[str]) -> int:
    if len(arguments) < 2 or arguments[0] != "tools" or any(name.startswith("-") for name in arguments):
        print(USAGE, file=sys.stderr)
        return 2
    names = arguments[1:]
    tools = offered([name for name in names if ":" not in name], [name for name in names if ":" in name])
    print(json.dumps({"tools": [tool.describe() for tool in tools.values()]}, indent=2, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
