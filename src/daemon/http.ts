import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { JetbackupError, messageOf } from '../core/errors.ts';
import type { Progress } from '../core/progress.ts';
import type { Clock } from '../platform/clock.ts';
import { type HealthSource, healthOf } from './health.ts';
import { serviceMetrics } from './service-metrics.ts';

export type { HealthSource } from './health.ts';

export interface HttpSettings {
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Asked for each request and compared in constant time; undefined: none is asked for. One that is empty is nobody's. */
  readonly token: (() => string) | undefined;
  /** PEM. */
  readonly tls: { readonly cert: string | Buffer; readonly key: string | Buffer } | undefined;
}

export interface HttpServer extends AsyncDisposable {
  readonly address: { readonly host: string; readonly port: number };
}

interface HttpDeps {
  readonly clock: Clock;
  readonly log: Progress;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/*
 * For probes and Prometheus, and for whoever else finds the port. Nobody may cost much: a request is one line, few headers and no body,
 * each connection carries one of them, and whoever is slow or one too many is cut off.
 */
const limits = {
  maxHeaderSize: 8 * 1024,
  /** ms, from the connection on. */
  headersTimeout: 5_000,
  requestTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
} as const satisfies ServerOptions;
const MOST_CONNECTIONS = 64;
/** ms without a byte in either direction: of a client that does not read its answer. */
const IDLE_MS = 10_000;
/** ms that answers have to get to their end when the server is closed. */
const CLOSING_MS = 1_000;

const TEXT = 'text/plain; charset=utf-8';
const METRICS = 'text/plain; version=0.0.4; charset=utf-8';
const JSON_TYPE = 'application/json; charset=utf-8';

/**
 * Serves `/health`, `/health/live`, `/health/ready` and `/metrics` until it is disposed of. `source` is asked for each request, since a
 * reload replaces it. Throws `config-invalid` where it cannot listen, or the certificate and its key are of no use.
 */
export async function serveHttp(settings: HttpSettings, source: () => HealthSource, deps: HttpDeps): Promise<HttpServer> {
  const answer = async (request: IncomingMessage): Promise<Answer> => {
    try {
      return await answerTo(request, settings, source, deps.clock);
    } catch (error) {
      deps.log({ type: 'warning', text: `a request to the HTTP server could not be answered: ${messageOf(error)}` });
      return { status: 500, type: TEXT, body: 'internal error\n' };
    }
  };
  const onRequest = (request: IncomingMessage, response: ServerResponse) => void answer(request).then((given) => send(response, given));
  const server = create(settings.tls, onRequest);
  // Whoever asks whether to go on and send a body gets the answer at once.
  server.on('checkContinue', onRequest);
  server.maxConnections = MOST_CONNECTIONS;
  server.setTimeout(IDLE_MS);
  // Of its own accord the server knows no connection in which TLS has not begun.
  const open = new Set<Socket>();
  server.on('connection', (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  await listen(server, settings);
  // Such as a process that has no file descriptor left for another connection: no reason to end.
  server.on('error', (error) => deps.log({ type: 'warning', text: `the HTTP server is in trouble: ${messageOf(error)}` }));
  const address = server.address();
  const closed = new Promise<void>((resolve) => server.once('close', resolve));
  return {
    address: typeof address === 'object' && address !== null ? { host: address.address, port: address.port } : settings,
    async [Symbol.asyncDispose]() {
      server.close();
      const over = new AbortController();
      await Promise.race([closed, deps.clock.sleep(CLOSING_MS, over.signal).catch(() => {})]);
      over.abort();
      for (const socket of open) socket.destroy();
      await closed;
    },
  };
}

function create(tls: HttpSettings['tls'], onRequest: (request: IncomingMessage, response: ServerResponse) => void): Server {
  if (tls === undefined) return createServer(limits, onRequest);
  try {
    return createTlsServer({ ...limits, ...tls, minVersion: 'TLSv1.2', handshakeTimeout: limits.headersTimeout }, onRequest);
  } catch (cause) {
    throw new JetbackupError('config-invalid', `the certificate and its key are of no use: ${messageOf(cause)}`, {
      cause,
      hint: 'Set http.tlsCert to the certificate (with its chain) and http.tlsKey to its own private key, both as PEM.',
    });
  }
}

async function listen(server: Server, { host, port }: HttpSettings): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen({ host, port, backlog: MOST_CONNECTIONS }, resolve);
  try {
    await promise;
  } catch (cause) {
    throw new JetbackupError('config-invalid', `cannot serve HTTP on ${host} port ${port}: ${messageOf(cause)}`, {
      cause,
      hint: 'See whether another daemon runs here. Or choose another address with http: { listen: HOST:PORT }, or http: off.',
    });
  } finally {
    server.off('error', reject);
  }
}

async function answerTo(request: IncomingMessage, settings: HttpSettings, source: () => HealthSource, clock: Clock): Promise<Answer> {
  const { method, url = '', headers } = request;
  if (method !== 'GET' && method !== 'HEAD') return { ...text(405, 'only GET and HEAD'), headers: { Allow: 'GET, HEAD' } };
  if (headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0') return text(413, 'no body is taken');
  // As it is written, also behind an absolute URL: what a proxy in front let through as one path must not become another here.
  const path = /^(?:https?:\/\/[^/?#]*)?(\/[^?#]*)/i.exec(url)?.[1];
  // Probes cannot always send a header. These two say nothing but ok.
  if (path === '/health/live') return probe(!source().scheduler.isStuck());
  if (path === '/health/ready') return probe(source().report() !== undefined);
  if (path !== '/health' && path !== '/metrics') return text(404, 'there are /health, /health/live, /health/ready and /metrics');
  if (settings.token !== undefined && !isAllowed(headers.authorization, settings.token())) {
    return { ...text(401, 'a bearer token is needed'), headers: { 'WWW-Authenticate': 'Bearer realm="jetbackup"' } };
  }
  if (path === '/metrics') return { status: 200, type: METRICS, body: await serviceMetrics(source(), clock) };
  const health = healthOf(source(), clock);
  return json(health.status === 'failing' ? 503 : 200, health);
}

function isAllowed(authorization: string | undefined, token: string): boolean {
  const given = /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  if (given === undefined) return false;
  // Digests, so that the lengths are equal and tell nothing.
  const digest = (value: string) => createHash('sha256').update(value).digest();
  return timingSafeEqual(digest(given), digest(token));
}

function probe(isOk: boolean): Answer {
  return json(isOk ? 200 : 503, { status: isOk ? 'ok' : 'failing' });
}

function json(status: number, document: unknown): Answer {
  return { status, type: JSON_TYPE, body: `${JSON.stringify(document)}\n` };
}

function text(status: number, line: string): Answer {
  return { status, type: TEXT, body: `${line}\n` };
}

function send(response: ServerResponse, { status, type, body, headers }: Answer): void {
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
    // One request for each connection: nothing stays open that a stop would have to wait for.
    Connection: 'close',
    ...headers,
  });
  // Of an answer to HEAD, Node.js sends no body.
  response.end(body);
}
