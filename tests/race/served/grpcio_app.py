"""The work behind a plain grpcio server: Sidewinder's contract, one process, a thread for each worker."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import grpc
import work
from sidewinder._client import contract


def call(request: contract.CallRequest, _context: grpc.ServicerContext) -> contract.CallResponse:
    """One request."""
    said = work.answer(request.arguments.data)
    return contract.CallResponse(value=contract.Payload(data=said))


def main() -> None:
    """Serves until it is killed."""
    workers = int(os.environ["RACE_WORKERS"])
    unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    server = grpc.server(ThreadPoolExecutor(workers), options=unlimited)
    method = grpc.unary_unary_rpc_method_handler(
        call, contract.CallRequest.FromString, contract.CallResponse.SerializeToString
    )
    handler = grpc.method_handlers_generic_handler("sidewinder.v1.Calls", {"Call": method})
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{os.environ['RACE_PORT']}")
    work.boot()
    server.start()
    for _ in range(workers):
        work.ready()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
