"""A server made with the Python SDK, in both eras: `stdio`, or `http PORT`."""

import sys

import anyio
import mcp_types as types
from mcp.server.mcpserver import Context, MCPServer
from pydantic import BaseModel

URI = "demo://resource/dynamic/text/1"
server = MCPServer("python-server", version="1.0.0")
cancelled = 0


def is_modern(ctx: Context) -> bool:
    return (ctx.protocol_version or "") >= "2026-07-28"


@server.tool()
async def echo(message: str) -> str:
    return f"Echo: {message}"


@server.tool(name="count-cancelled")
async def count_cancelled() -> str:
    return str(cancelled)


@server.tool(name="trigger-long-running-operation")
async def long_running(duration: float, steps: int, ctx: Context) -> str:
    global cancelled
    try:
        for step in range(1, steps + 1):
            await anyio.sleep(duration / steps)
            await ctx.report_progress(step, steps)
    except anyio.get_cancelled_exc_class():
        cancelled += 1
        raise
    return "done"


@server.tool(name="trigger-sampling-request", structured_output=False)
async def sampling(prompt: str, maxTokens: int, ctx: Context) -> str | types.InputRequiredResult:
    message = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
    if not is_modern(ctx):
        given = await ctx.session.create_message(
            [message], max_tokens=maxTokens, related_request_id=ctx.request_id
        )
        return given.model_dump_json()
    if ctx.input_responses:
        return str(ctx.input_responses["sampled"])
    params = types.CreateMessageRequestParams(messages=[message], max_tokens=maxTokens)
    request = types.CreateMessageRequest(method="sampling/createMessage", params=params)
    return types.InputRequiredResult(input_requests={"sampled": request})


class Form(BaseModel):
    name: str


@server.tool(name="trigger-elicitation-request", structured_output=False)
async def elicitation(ctx: Context) -> str | types.InputRequiredResult:
    if not is_modern(ctx):
        given = await ctx.elicit("Who are you?", Form)
        return str(given)
    if ctx.input_responses:
        return str(ctx.input_responses["elicited"])
    params = types.ElicitRequestFormParams(
        mode="form", message="Who are you?", requested_schema=Form.model_json_schema()
    )
    request = types.ElicitRequest(method="elicitation/create", params=params)
    return types.InputRequiredResult(input_requests={"elicited": request})


watchers = []


@server.tool(name="toggle-subscriber-updates")
async def toggle(ctx: Context) -> str:
    await ctx.notify_resource_updated(URI)
    for session in list(watchers):
        await session.send_resource_updated(URI)
    return "told"


@server.resource(URI)
def one() -> str:
    return "one"


async def subscribe(ctx, params) -> types.EmptyResult:
    watchers.append(ctx.session)
    return types.EmptyResult()


async def unsubscribe(ctx, params) -> types.EmptyResult:
    watchers[:] = [session for session in watchers if session is not ctx.session]
    return types.EmptyResult()


low = server._lowlevel_server
low.add_request_handler("resources/subscribe", types.SubscribeRequestParams, subscribe)
low.add_request_handler("resources/unsubscribe", types.UnsubscribeRequestParams, unsubscribe)

way, *port = sys.argv[1:]
if way == "http":
    import uvicorn

    uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=int(port[0]), log_level="error")
else:
    server.run("stdio")
