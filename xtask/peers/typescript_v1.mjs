// The TypeScript SDK's first line: URL and name of an echo tool in, one line of JSON out.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [url, tool] = process.argv.slice(2);
const transport = new StreamableHTTPClientTransport(new URL(url));
const client = new Client({ name: 'typescript-v1', version: '1.0.0' });
await client.connect(transport);
const { tools } = await client.listTools();
const result = await client.callTool({ name: tool, arguments: { message: 'from typescript v1' } });
console.log(JSON.stringify({
  server: client.getServerVersion()?.name,
  version: transport.protocolVersion,
  tools: tools.map(({ name }) => name),
  text: result.content[0].text,
}));
await client.close();
