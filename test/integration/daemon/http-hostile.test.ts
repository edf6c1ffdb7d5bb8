import { connect, type Socket } from 'node:net';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/platform/clock.ts';
import { serve, servedDaemon } from '../../unit/daemon/http-service.ts';

const TOKEN = 'n0bodyKn0wsTh1sT0ken';
let service: Awaited<ReturnType<typeof serve>>;
beforeAll(async () => {
  service = await serve(servedDaemon(), { token: () => TOKEN });
});
afterAll(() => service[Symbol.asyncDispose]());

/** Neither a crash nor a word too much: an answer that the server means to give, or a closed connection. */
function expectHarmless({ text, closed }: { readonly text: string; readonly closed: boolean }): void {
  expect(closed).toBe(true);
  expect(text === '' || /^HTTP\/1\.1 (?:200|400|401|404|405|408|413|417|431) /.test(text)).toBe(true);
  // What needs the token, the token itself, places in the source.
  expect(text).not.toMatch(/shop|jetbackup_|n0bodyKn0ws|\.ts:|node:internal| {4}at /);
}

async function expectAlive(): Promise<void> {
  expect(await service.get('/health', { headers: { authorization: `Bearer ${TOKEN}` } })).toMatchObject({ status: 200 });
  expect(service.logged).toEqual([]);
}

const word = fc.stringMatching(/^[!-9;-~]{1,40}$/);
const value = fc.stringMatching(/^[ -~\x80-\xff]{0,200}$/);
const path = fc.oneof(
  fc.constantFrom('/health', '/metrics', '/health/live', '/health/ready', '*', '', '//', '/\0', 'http://x/metrics', 'http://[/metrics'),
  fc.webPath().map((text) => `/${text}`),
  fc.string({ maxLength: 300, unit: 'binary' }),
);
const method = fc.oneof(fc.constantFrom('GET', 'HEAD', 'POST', 'CONNECT', 'OPTIONS', 'get', 'PRI', 'M-SEARCH'), word);
const header = fc.oneof(
  fc.tuple(word, value).map(([name, text]) => `${name}: ${text}`),
  fc.constantFrom('Authorization: Bearer', 'Authorization: Bearer =', 'Authorization: Bearer n0bodyKn0wsTh1sT0keN', 'Host: x', 'Host:'),
  fc.constantFrom('Content-Length: 5', 'Content-Length: -1', 'Content-Length: 99999999999999999999', 'Transfer-Encoding: chunked'),
  fc.constantFrom(
    'Transfer-Encoding: gzip',
    'Connection: upgrade',
    'Upgrade: websocket',
    'Upgrade: h2c',
    'Expect: 100-continue',
    'Expect: x',
  ),
  fc.constantFrom('Connection: keep-alive', 'Range: bytes=0-1', 'X: \r', 'X: a\r\n b', ': nothing', 'no colon'),
  value,
);
const version = fc.constantFrom('HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/9', '');
const almostRequest = fc
  .tuple(method, path, version, fc.array(header, { maxLength: 12 }), fc.string({ maxLength: 50 }))
  .map(([verb, where, which, headers, body]) => `${verb} ${where} ${which}\r\n${headers.map((line) => `${line}\r\n`).join('')}\r\n${body}`);

/** What Node.js parses, so that it comes to be answered. */
const sound = fc
  .tuple(
    fc.oneof({ arbitrary: fc.constant('GET'), weight: 5 }, fc.constantFrom('HEAD', 'POST', 'OPTIONS', 'PROPFIND')),
    fc.oneof(
      fc.constantFrom('/health', '/metrics', '/health/live', '/health/ready', '*', '//health', 'http://x/metrics', 'http://[/metrics'),
      fc.stringMatching(/^\/[!-~]{0,200}$/),
      fc.webUrl(),
    ),
    fc.array(fc.tuple(fc.stringMatching(/^X-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,40}$/), fc.stringMatching(/^[!-~][ -~]{0,200}$/)), {
      maxLength: 20,
    }),
    fc.oneof(
      fc.constantFrom('', 'Bearer', 'Bearer =', 'bearer  x ', `Bearer ${TOKEN} `.toLowerCase()),
      fc.stringMatching(/^Bearer [ -~]{0,99}$/),
    ),
    fc.constantFrom(
      '',
      '',
      '',
      'Content-Length: 3\r\n',
      'Transfer-Encoding: chunked\r\n',
      'Expect: 100-continue\r\n',
      'Connection: keep-alive\r\n',
    ),
  )
  .map(([verb, where, headers, authorization, more]) => {
    const lines = headers.map(([name, text]) => `${name}: ${text}\r\n`).join('');
    return `${verb} ${where} HTTP/1.1\r\nHost: x\r\n${lines}Authorization: ${authorization}\r\n${more}\r\n`;
  });

describe('whoever finds the port', () => {
  it('gets nothing out of it with arbitrary bytes', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 4096 }), async (bytes) => expectHarmless(await service.send(bytes))),
      { numRuns: 300 },
    );
    await expectAlive();
  });

  it('gets nothing out of it with what is almost a request', { timeout: 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(almostRequest, async (text) => expectHarmless(await service.send(Buffer.from(text, 'latin1')))),
      { numRuns: 700 },
    );
    await expectAlive();
  });

  it('gets nothing out of it without the token, whatever it asks for and how', { timeout: 60_000 }, async () => {
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(sound, async (text) => {
        const reply = await service.send(text);
        expectHarmless(reply);
        seen.add(reply.text.slice(9, 12));
      }),
      { numRuns: 1000 },
    );
    for (const status of ['200', '401', '404', '405', '413']) expect([...seen]).toContain(status);
    await expectAlive();
  });

  it('is cut off with headers that are too large or too many', async () => {
    const large = await service.send(`GET /health HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(64 * 1024)}\r\n\r\n`, { half: false });
    const many = await service.send(`GET /health HTTP/1.1\r\nHost: x\r\n${'a: b\r\n'.repeat(20_000)}\r\n`, { half: false });
    const long = await service.send(`GET /${'a'.repeat(64 * 1024)} HTTP/1.1\r\nHost: x\r\n\r\n`, { half: false });
    for (const reply of [large, many, long]) {
      expectHarmless(reply);
      // Whoever is still sending may be cut off before the answer.
      expect(reply.text).toMatch(/^(?:HTTP\/1\.1 431 |$)/);
      expect(reply.ms).toBeLessThan(3_000);
    }
    await expectAlive();
  });

  it('cannot send a body, however long, nor a second request behind the first', async () => {
    const endless = await service.send(
      `GET /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n${'a'.repeat(1_000_000)}`,
      {
        half: false,
      },
    );
    expectHarmless(endless);
    expect(endless.ms).toBeLessThan(3_000);
    const twice = await service.send('GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2), { half: false });
    expect(twice.text.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(twice.closed).toBe(true);
  });

  it('has five seconds for a request, also byte by byte', { timeout: 20_000 }, async () => {
    const lives = await Promise.all(
      [0, 1].map(
        (each) =>
          new Promise<number>((resolve) => {
            const from = systemClock.monotonicMs();
            const socket = connect(service.port, '127.0.0.1');
            const drip = setInterval(() => socket.write(each === 0 ? '' : 'a'), 100);
            socket.write('GET /health HTTP/1.1\r\nX: ');
            socket.on('error', () => {});
            socket.resume().once('close', () => {
              clearInterval(drip);
              resolve(systemClock.monotonicMs() - from);
            });
          }),
      ),
    );
    for (const ms of lives) {
      expect(ms).toBeGreaterThan(3_000);
      expect(ms).toBeLessThan(8_000);
    }
    await expectAlive();
  });

  it('may open many connections and holds no more than 64, and no memory that grows', { timeout: 30_000 }, async () => {
    const sockets: Socket[] = [];
    const open = new Set<Socket>();
    for (let index = 0; index < 300; index += 1) {
      const socket = connect(service.port, '127.0.0.1', () => socket.write('GET /health HTTP/1.1\r\nX: '));
      socket.on('error', () => {}).resume();
      socket.once('connect', () => open.add(socket)).once('close', () => open.delete(socket));
      sockets.push(socket);
    }
    await systemClock.sleep(500);
    expect(open.size).toBeGreaterThan(0);
    expect(open.size).toBeLessThanOrEqual(64);
    for (const socket of sockets) socket.destroy();
    await systemClock.sleep(100);

    const before = process.memoryUsage.rss();
    for (let round = 0; round < 40; round += 1) {
      await Promise.all(Array.from({ length: 40 }, () => service.send(`GET /${'a'.repeat(7000)} HTTP/1.1\r\nHost: x\r\n\r\n`)));
    }
    expect(process.memoryUsage.rss() - before).toBeLessThan(100 * 1024 * 1024);
    await expectAlive();
  });
});
