// A server made with the TypeScript SDK's second line, in both eras: `stdio`, or `http PORT`.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { McpServer, createMcpHandler, inputRequired, isLegacyRequest } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { NodeStreamableHTTPServerTransport, localhostHostValidation, toNodeHandler, toWebRequest } from '@modelcontextprotocol/node';
import * as z from 'zod';

const URI = 'demo://resource/dynamic/text/1';
const answer = (text) => ({ content: [{ type: 'text', text }] });
let cancelled = 0;
let notifyModern = () => {};

function build(era) {
  const server = new McpServer({ name: 'typescript-v2-server', version: '1.0.0' },
    { capabilities: { tools: {}, resources: { subscribe: true }, logging: {} } });
  const watched = new Set();
  server.registerTool('echo', { inputSchema: z.object({ message: z.string() }) }, ({ message }) => answer(`Echo: ${message}`));
  server.registerTool('count-cancelled', { inputSchema: z.object({}) }, () => answer(String(cancelled)));
  server.registerTool('trigger-long-running-operation',
    { inputSchema: z.object({ duration: z.number(), steps: z.number() }) },
    async ({ duration, steps }, ctx) => {
      const progressToken = ctx.mcpReq._meta?.progressToken;
      for (let progress = 1; progress <= steps; progress += 1) {
        await new Promise((resolve) => { setTimeout(resolve, duration * 1000 / steps); });
        if (ctx.mcpReq.signal.aborted) {
          cancelled += 1;
          return answer('cancelled');
        }
        if (progressToken !== undefined) {
          const params = { progressToken, progress, total: steps };
          await ctx.mcpReq.notify({ method: 'notifications/progress', params });
        }
      }
      return answer('done');
    });
  server.registerTool('trigger-sampling-request',
    { inputSchema: z.object({ prompt: z.string(), maxTokens: z.number() }) },
    async ({ prompt, maxTokens }, ctx) => {
      const params = { messages: [{ role: 'user', content: { type: 'text', text: prompt } }], maxTokens };
      const given = era === 'legacy' ? await ctx.mcpReq.requestSampling(params) : ctx.mcpReq.inputResponses?.sampled;
      if (!given) return inputRequired({ inputRequests: { sampled: inputRequired.createMessage(params) } });
      return answer(JSON.stringify(given));
    });
  server.registerTool('trigger-elicitation-request', { inputSchema: z.object({}) }, async (_, ctx) => {
    const requestedSchema = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] };
    const params = { mode: 'form', message: 'Who are you?', requestedSchema };
    const given = era === 'legacy' ? await ctx.mcpReq.elicitInput(params) : ctx.mcpReq.inputResponses?.elicited;
    if (!given) return inputRequired({ inputRequests: { elicited: inputRequired.elicit(params) } });
    return answer(JSON.stringify(given));
  });
  server.registerTool('toggle-subscriber-updates', { inputSchema: z.object({}) }, async () => {
    for (const uri of watched) await server.server.sendResourceUpdated({ uri });
    if (era !== 'legacy') {
      notifyModern(URI);
      if (!http) await server.server.sendResourceUpdated({ uri: URI });
    }
    return answer('told');
  });
  server.registerResource('text', URI, { mimeType: 'text/plain' }, (uri) => ({ contents: [{ uri: uri.href, text: 'one' }] }));
  if (era === 'legacy') {
    server.server.setRequestHandler('resources/subscribe', ({ params }) => { watched.add(params.uri); return {}; });
    server.server.setRequestHandler('resources/unsubscribe', ({ params }) => { watched.delete(params.uri); return {}; });
  }
  return server;
}

const [way, port] = process.argv.slice(2);
const http = way === 'http';
if (http) {
  const modern = createMcpHandler(() => build('modern'), { legacy: 'reject' });
  notifyModern = (uri) => { modern.notify.resourceUpdated(uri); };
  const serveModern = toNodeHandler(modern);
  const isLocal = localhostHostValidation();
  const sessions = new Map();
  createServer(async (req, res) => {
    if (!isLocal(req, res)) return;
    let text = '';
    for await (const chunk of req) text += chunk;
    const body = text ? JSON.parse(text) : undefined;
    const known = sessions.get(req.headers['mcp-session-id']);
    if (known) return known.handleRequest(req, res, body);
    if (req.method !== 'POST' || !await isLegacyRequest(await toWebRequest(req, body), body)) return serveModern(req, res, body);
    const transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => { sessions.set(id, transport); },
      onsessionclosed: (id) => { sessions.delete(id); },
    });
    await build('legacy').connect(transport);
    return transport.handleRequest(req, res, body);
  }).listen(Number(port), '127.0.0.1');
} else {
  serveStdio((context) => build(context.era));
}
