"""The client for asyncio: `sidewinder.aio.Client`. It needs grpcio and protobuf.

async with sidewinder.aio.Client() as client:
    print(await client.call("add", {"a": 1, "b": 2}))
    async for number in client.stream("count", {"to": 3}):
        print(number)
"""

from __future__ import annotations

try:
    from ._client.flowing_tasks import Items
    from ._client.tasks import Client
except ModuleNotFoundError as missing:
    from ._lazy import explained

    raise explained(missing, "sidewinder.aio") from missing

__all__ = ["Client", "Items"]
