// The TypeScript SDK's second line. Era (`legacy` or a version to insist on), prefix of tools, steps, and `http URL` or
// `stdio COMMAND…` in; one line of JSON out.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { ELICITED, SAMPLE, run } from './steps.mjs';

const [era, prefix, steps, way, target, ...rest] = process.argv.slice(2);
const mode = era === 'legacy' ? era : { pin: era };
const transport = way === 'http' ? new StreamableHTTPClientTransport(new URL(target))
  : new StdioClientTransport({ command: target, args: rest, env: process.env, stderr: 'ignore' });
const client = new Client({ name: 'typescript-v2', version: '1.0.0' },
  { versionNegotiation: { mode }, capabilities: { sampling: {}, elicitation: {} } });
client.setRequestHandler('sampling/createMessage', () => SAMPLE);
client.setRequestHandler('elicitation/create', () => ELICITED);
const sdk = {
  name: 'typescript v2',
  connect: () => client.connect(transport),
  list: async () => (await client.listTools()).tools.map(({ name }) => name),
  call: (name, args, options) => client.callTool({ name, arguments: args }, options),
  subscribe: async (uri) => {
    if (era === 'legacy') {
      await client.subscribeResource({ uri });
      return () => client.unsubscribeResource({ uri });
    }
    const listening = await client.listen({ resourceSubscriptions: [uri] });
    return () => listening.close();
  },
};
client.setNotificationHandler('notifications/resources/updated', ({ params }) => { sdk.updated?.(params.uri); });
const said = {};
await run(sdk, prefix, steps.split(','), said);
said.server = client.getServerVersion()?.name;
said.version = client.getNegotiatedProtocolVersion();
await new Promise((resolve) => { process.stdout.write(`${JSON.stringify(said)}\n`, resolve); });
await Promise.race([client.close(), new Promise((resolve) => { setTimeout(resolve, 2000); })]);
process.exit(0);
