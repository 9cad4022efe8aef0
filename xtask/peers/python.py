"""The Python SDK: URL, name of an echo tool and connect mode in, one line of JSON out."""

import asyncio
import json
import sys

from mcp import Client


async def main(url: str, tool: str, mode: str) -> None:
    async with Client(url, mode=mode, read_timeout_seconds=30) as client:
        tools = (await client.list_tools()).tools
        result = await client.call_tool(tool, {"message": "from python"})
        said = {
            "server": client.server_info.name if client.server_info else None,
            "version": client.protocol_version,
            "tools": [tool.name for tool in tools],
            "text": result.content[0].text,
        }
        print(json.dumps(said))


asyncio.run(main(*sys.argv[1:]))
