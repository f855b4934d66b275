"""A gRPC server on the C core, for clients that should not only speak to one implementation.

python3 second_server.py SOCKET

It serves on a unix socket until its standard input ends. It says "listens" when it does, and which wait has
begun.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent import futures

import grpc

EVERYTHING = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def echo(request: bytes, context: grpc.ServicerContext) -> bytes:
    context.set_trailing_metadata((("x-late", "1"), ("x-bytes-bin", b"\x00\xff")))
    return request


def fail(request: bytes, context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, request.decode())


def wait(request: bytes, _context: grpc.ServicerContext) -> bytes:
    print(f"waits {request.decode()}", flush=True)
    time.sleep(float(request))
    return request


def count(request: bytes, _context: grpc.ServicerContext) -> Iterator[bytes]:
    for number in range(int(request)):
        yield str(number).encode()


def converse(requests: Iterator[bytes], _context: grpc.ServicerContext) -> Iterator[bytes]:
    yield from requests


def main() -> None:
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "Wait": grpc.unary_unary_rpc_method_handler(wait),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Converse": grpc.stream_stream_rpc_method_handler(converse),
    }
    server = grpc.server(futures.ThreadPoolExecutor(32), options=EVERYTHING)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("second.Server", handlers),))
    server.add_insecure_port(f"unix:{sys.argv[1]}")
    server.start()
    print("listens", flush=True)
    sys.stdin.readline()
    server.stop(5).wait()


if __name__ == "__main__":
    main()
