"""One life of a worker, from its hello to its end.

      calls socket ──▶ Serving (main thread) ──▶ attempt ──▶ Ending ──▶ Endings ──▶ calls socket
    control socket ──▶ Control (a daemon thread) ─ cancel, drain, resync ─▶ Serving

`start` wires it together. `serving` does one call at a time without any hand-off; `looped` serves through an
event loop, when a tool is async or when there are several seats. `control` answers while a tool runs, and
`standard` keeps the standard streams from breaking anything.
"""
