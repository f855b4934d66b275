"""Calls over gRPC in the words of proto/sidewinder/v1, which the plain grpcio server speaks as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from sidewinder._client import contract

from speak.caller import CallFailedError

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
# A server that comes back is looked for again at once, as with a connection for each call.
EAGER = [("grpc.initial_reconnect_backoff_ms", 20), ("grpc.max_reconnect_backoff_ms", 50)]


class GrpcCaller:
    """One channel for all calls, as clients of gRPC have."""

    def __init__(self, port: int, patience: float = 0.0) -> None:
        own = [("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=UNLIMITED + EAGER + own)
        self.patience = patience or None
        self.method = self.channel.unary_unary(
            "/sidewinder.v1.Calls/Call",
            request_serializer=contract.CallRequest.SerializeToString,
            response_deserializer=contract.CallResponse.FromString,
        )

    def begin(self, body: bytes) -> GrpcCall:
        """Asks."""
        request = contract.CallRequest(
            call=contract.Call(tool="answer"),
            arguments=contract.Payload(data=body, content_type="application/octet-stream"),
        )
        return GrpcCall(self.method.future(request, timeout=self.patience))

    def close(self) -> None:
        """The channel ends."""
        self.channel.close()


@dataclass
class GrpcCall:
    """One call that has begun."""

    future: Any

    def answer(self, seconds: float) -> bytes:
        """Waits for it."""
        try:
            said: bytes = self.future.result(timeout=seconds).value.data
        except grpc.FutureTimeoutError as error:
            raise CallFailedError("nothing") from error
        except grpc.RpcError as error:
            raise CallFailedError(str(self.future.code().name)) from error
        return said

    def hang_up(self) -> None:
        """Resets the call, if it still runs."""
        self.future.cancel()
