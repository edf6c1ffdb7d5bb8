import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';

export interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** What a receiver does with a request: a status, with headers; or nothing at all, for ever. */
export type Answer = number | { readonly status: number; readonly headers: Readonly<Record<string, string>> } | 'hang' | 'cut';

export interface HttpReceiver extends AsyncDisposable {
  readonly url: string;
  readonly host: string;
  readonly received: Received[];
  /** The next answers, in order; then 200 again. */
  answer(...answers: Answer[]): void;
}

/** A real HTTP server that keeps what it gets. */
export async function httpReceiver(path = '/hook'): Promise<HttpReceiver> {
  const received: Received[] = [];
  let answers: Answer[] = [];
  const open = new Set<ServerResponse>();
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    received.push({ path: request.url ?? '', headers: request.headers, body });
    const next = answers.shift() ?? 200;
    open.add(response);
    if (next === 'hang') return;
    if (next === 'cut') return void request.socket.destroy();
    const { status, headers } = typeof next === 'number' ? { status: next, headers: {} } : next;
    response.writeHead(status, headers).end('whatever the receiver says');
  });
  const port = await listening(server);
  return {
    url: `http://127.0.0.1:${port}${path}`,
    host: `127.0.0.1:${port}`,
    received,
    answer: (...more) => {
      answers = [...answers, ...more];
    },
    async [Symbol.asyncDispose]() {
      for (const response of open) response.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A port on which nobody listens. */
export async function deadPort(): Promise<number> {
  const server = createServer();
  const port = await listening(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listening(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
