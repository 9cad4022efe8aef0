"""The Python SDK. Connect mode, prefix of tools, steps, and `http URL` or `stdio COMMAND…` in; one line of JSON out."""

import asyncio
import json
import os
import sys

import anyio
import mcp_types as types
from mcp import Client, StdioServerParameters

URI = "demo://resource/dynamic/text/1"
PATIENCE = 10


class Absent(Exception):
    pass


async def sampled(context, params):
    content = types.TextContent(type="text", text="sampled by the client")
    return types.CreateMessageResult(role="assistant", content=content, model="weir")


async def elicited(context, params):
    return types.ElicitResult(action="accept", content={"name": "a weir"})


def text(result) -> str:
    return " ".join(getattr(part, "text", "") for part in result.content)


async def main(mode: str, prefix: str, wanted: str, way: str, target: str, *rest: str) -> None:
    updated = asyncio.Event()

    async def heard(message) -> None:
        message = getattr(message, "root", message)
        if isinstance(message, types.ResourceUpdatedNotification) and str(message.params.uri) == URI:
            updated.set()

    server = target
    if way == "stdio":
        server = StdioServerParameters(command=target, args=list(rest), env=dict(os.environ))
    client = Client(
        server,
        mode=mode,
        read_timeout_seconds=30,
        sampling_callback=sampled,
        elicitation_callback=elicited,
        message_handler=heard,
    )
    said = {"steps": {}}
    names = []

    def tool(name: str) -> str:
        if prefix + name not in names:
            raise Absent(f"the server has no tool `{name}`")
        return prefix + name

    def expect(seen: str, part: str) -> None:
        if part not in seen:
            raise ValueError(f"{part!r} does not stand in {seen!r}")

    async def list_() -> None:
        # A gateway that has just been started lists what is there by then, and tells when there is more.
        while not names:
            names.extend(tool.name for tool in (await client.list_tools(cache_mode="bypass")).tools)
            await asyncio.sleep(0 if names else 0.1)
        said["tools"] = names

    async def call() -> None:
        said["text"] = text(await client.call_tool(tool("echo"), {"message": "from python"}))
        expect(said["text"], "from python")

    async def progress() -> None:
        steps = []

        async def on_progress(progress, total, message):
            steps.append(int(progress))

        arguments = {"duration": 0.4, "steps": 4}
        await client.call_tool(tool("trigger-long-running-operation"), arguments, progress_callback=on_progress)
        if steps != [1, 2, 3, 4]:
            raise ValueError(f"progress {steps}")

    async def cancel() -> None:
        async def count() -> int:
            return int(text(await client.call_tool(tool("count-cancelled"), {})))

        before = await count()
        with anyio.CancelScope() as scope:

            async def on_progress(progress, total, message):
                scope.cancel()

            arguments = {"duration": 20, "steps": 100}
            await client.call_tool(tool("trigger-long-running-operation"), arguments, progress_callback=on_progress)
        if not scope.cancelled_caught:
            raise ValueError("it was answered")
        while await count() <= before:
            await asyncio.sleep(0.05)

    async def sampling() -> None:
        arguments = {"prompt": "who?", "maxTokens": 10}
        expect(text(await client.call_tool(tool("trigger-sampling-request"), arguments)), "sampled by the client")

    async def elicitation() -> None:
        expect(text(await client.call_tool(tool("trigger-elicitation-request"), {})), "a weir")

    async def subscribe() -> None:
        toggle = tool("toggle-subscriber-updates")
        if mode == "legacy":
            await client.subscribe_resource(URI)
            await client.call_tool(toggle, {})
            await updated.wait()
            await client.call_tool(toggle, {})
            await client.unsubscribe_resource(URI)
            return
        async with client.listen(resource_subscriptions=[URI]) as listening:
            await client.call_tool(toggle, {})
            async for event in listening:
                expect(str(getattr(event, "uri", event)), URI)
                break
            await client.call_tool(toggle, {})

    steps = {
        "list": list_,
        "call": call,
        "progress": progress,
        "cancel": cancel,
        "sampling": sampling,
        "elicitation": elicitation,
        "subscribe": subscribe,
    }

    async def attempt(name: str, work) -> bool:
        try:
            async with asyncio.timeout(PATIENCE):
                await work()
            said["steps"][name] = {"is": "ok"}
            return True
        except BaseException as error:  # one step's failure is its own
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            outcome = "absent" if isinstance(error, Absent) else "failed"
            said["steps"][name] = {"is": outcome, "detail": str(error) or repr(error)}
            return False

    if await attempt("initialise", client.__aenter__):
        for name in wanted.split(","):
            if name != "initialise":
                await attempt(name, steps[name])
        said["server"] = client.server_info.name if client.server_info else None
        said["version"] = client.protocol_version
    print(json.dumps(said), flush=True)
    # What the program has opened ends with it.
    os._exit(0)


asyncio.run(main(*sys.argv[1:]))
