"""The work behind WSGI: for gunicorn, granian and uWSGI."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import work

work.boot()
if os.environ["RACE_READY"] == "import":
    work.ready()
elif os.environ["RACE_READY"] == "uwsgi":
    # Exists only inside of that server.
    import uwsgi  # type: ignore[import-untyped]

    uwsgi.post_fork_hook = work.ready


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    """One request."""
    said = work.answer(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
    start_response(
        "200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(said)))]
    )
    return [said]
