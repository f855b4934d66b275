"""The client: tools that run in a daemon, called from Python.

    threads, tasks      the clients: one for threads, one for asyncio
      ├─ flowing        streams, for threads
      ├─ calling        what both offer for tools, with its options
      ├─ tries          one deadline and one count for all tries of a call
      │    └─ retrying  whether to try again, and when
      ├─ place, channel where the daemon is, and how the connection behaves
      ├─ speaking       from Python's values to messages, and back
      │    └─ contract  the messages, made from the descriptors that the tree carries
      └─ errors         why there is no answer

It needs grpcio and protobuf, which the runtime of a worker never does. So nothing here is imported by
`import sidewinder`: its names are fetched when somebody asks for them. `errors`, `retrying` and `place` need
neither, so that code which only catches errors can do so everywhere.
"""

from __future__ import annotations
