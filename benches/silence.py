#!/usr/bin/env python3
"""A server for the benchmarks that takes connections on a port of loopback and never answers."""

import asyncio
import sys


async def silence(reader, writer):
    await asyncio.sleep(60)
    writer.close()


async def main(port):
    await asyncio.start_server(silence, "127.0.0.1", port, backlog=4096)
    await asyncio.Event().wait()


asyncio.run(main(int(sys.argv[1])))
