// The TypeScript SDK's second line: URL, name of an echo tool and `legacy` or a version to insist on in, one line of JSON out.
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const [url, tool, era] = process.argv.slice(2);
const mode = era === 'legacy' ? era : { pin: era };
const client = new Client({ name: 'typescript-v2', version: '1.0.0' }, { versionNegotiation: { mode } });
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
const { tools } = await client.listTools();
const result = await client.callTool({ name: tool, arguments: { message: 'from typescript v2' } });
console.log(JSON.stringify({
  server: client.getServerVersion()?.name,
  version: client.getNegotiatedProtocolVersion(),
  tools: tools.map(({ name }) => name),
  text: result.content[0].text,
}));
await client.close();
