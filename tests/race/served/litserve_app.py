"""The work behind LitServe, which speaks JSON: the bytes are the text of one field."""

from __future__ import annotations

import os

import litserve  # type: ignore[import-not-found]
import work


class Work(litserve.LitAPI):  # type: ignore[misc]
    """Text there and back."""

    def setup(self, _device: str) -> None:
        """Once in each worker."""
        work.boot()
        work.ready()

    def decode_request(self, request: dict[str, str]) -> bytes:
        """The bytes of the text."""
        return request["body"].encode()

    def predict(self, body: bytes) -> bytes:
        """One request."""
        return work.answer(body)

    def encode_response(self, said: bytes) -> dict[str, str]:
        """The text of the bytes."""
        return {"body": said.decode()}


if __name__ == "__main__":
    server = litserve.LitServer(
        Work(), accelerator="cpu", workers_per_device=int(os.environ["RACE_WORKERS"]), timeout=60
    )
    server.run(
        host="127.0.0.1", port=int(os.environ["RACE_PORT"]), generate_client_file=False, log_level="error"
    )
