"""How gunicorn tells that a worker is there, whether it loaded the app itself or was forked from it."""

from __future__ import annotations


def post_worker_init(_worker: object) -> None:
    """gunicorn calls it by this name, in the worker, after the app was loaded."""
    import work

    work.ready()
