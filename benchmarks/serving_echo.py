"""A server that does nothing with messages but answer them: what a stream costs by itself.

A stream's first message says how large its replies are to be. Each reply begins with the 9 bytes
that its request began with (as ``seq`` does).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from dreamenv_server.server import ServerConfig

HEAD = 9


async def echo(_: AsyncIterator[bytes], context: grpc.aio.ServicerContext[Any, bytes]) -> None:
    size = await context.read()
    if size is grpc.aio.EOF:
        return
    rest = bytes(int.from_bytes(size, "little") - HEAD)
    await context.write(size)
    while (message := await context.read()) is not grpc.aio.EOF:
        await context.write(message[:HEAD] + rest)


async def main() -> None:
    server = grpc.aio.server(options=ServerConfig().options())
    handlers: dict[str, Any] = {"Echo": grpc.stream_stream_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"echo on 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
