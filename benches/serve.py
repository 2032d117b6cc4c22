#!/usr/bin/env python3
"""Two servers for the benchmarks: PAGES answers /SECONDS/… after that time, SILENCE never answers."""

import asyncio
import sys


async def page(reader, writer):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(float(head.split()[1].split(b"/")[1]))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    writer.close()


async def silence(reader, writer):
    await asyncio.sleep(60)
    writer.close()


async def main(pages, silent):
    for answer, port in ((page, pages), (silence, silent)):
        await asyncio.start_server(answer, "127.0.0.1", port, backlog=4096)
    await asyncio.Event().wait()


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
