// The TypeScript SDK's first line. Era (always legacy), prefix of tools, steps, and `http URL` or `stdio COMMAND…` in; one
// line of JSON out.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CreateMessageRequestSchema, ElicitRequestSchema, ResourceUpdatedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { ELICITED, SAMPLE, run } from './steps.mjs';

const [, prefix, steps, way, target, ...rest] = process.argv.slice(2);
const transport = way === 'http' ? new StreamableHTTPClientTransport(new URL(target))
  : new StdioClientTransport({ command: target, args: rest, env: process.env, stderr: 'ignore' });
const client = new Client({ name: 'typescript-v1', version: '1.0.0' },
  { capabilities: { sampling: {}, elicitation: {} } });
client.setRequestHandler(CreateMessageRequestSchema, () => SAMPLE);
client.setRequestHandler(ElicitRequestSchema, () => ELICITED);
const sdk = {
  name: 'typescript v1',
  connect: () => client.connect(transport),
  list: async () => (await client.listTools()).tools.map(({ name }) => name),
  call: (name, args, options) => client.callTool({ name, arguments: args }, undefined, options),
  subscribe: async (uri) => {
    await client.subscribeResource({ uri });
    return () => client.unsubscribeResource({ uri });
  },
};
client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => { sdk.updated?.(params.uri); });
const said = {};
await run(sdk, prefix, steps.split(','), said);
said.server = client.getServerVersion()?.name;
said.version = transport.protocolVersion ?? transport._protocolVersion ?? '2025-11-25';
await new Promise((resolve) => { process.stdout.write(`${JSON.stringify(said)}\n`, resolve); });
await Promise.race([client.close(), new Promise((resolve) => { setTimeout(resolve, 2000); })]);
process.exit(0);
