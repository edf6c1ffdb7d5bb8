import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isJetbackupError } from '../../../src/core/errors.ts';
import type { HealthDocument } from '../../../src/daemon/health.ts';
import { serveHttp } from '../../../src/daemon/http.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { parseExposition } from '../../support/exposition.ts';
import { NOW, reportOf, statusIn } from '../../support/status-reports.ts';
import { allWell, serve, servedDaemon, verified } from './http-service.ts';
import { jobOf, succeeded } from './jobs.ts';

const health = (body: string) => JSON.parse(body) as HealthDocument;
const kinds = (body: string) => health(body).reasons.map(({ kind }) => kind);

describe('/health', () => {
  it('is ok where every objective is met, with the figures of each database', async () => {
    await using service = await serve();
    const { status, headers, body } = await service.get('/health');
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
      connection: 'close',
      'x-content-type-options': 'nosniff',
    });
    expect(headers).not.toHaveProperty('access-control-allow-origin');
    expect(health(body)).toEqual({
      status: 'ok',
      reasons: [],
      timestamp: '2026-11-20T12:00:00Z',
      uptime: 7200,
      version: '1.2.3',
      scheduler: {
        lastTick: '2026-11-20T11:59:40Z',
        stuck: false,
        nextRuns: [{ operation: 'prune', running: false, at: '2026-11-21T06:00:00Z' }],
      },
      reportAt: '2026-11-20T12:00:00Z',
      databases: [
        {
          database: 'shop',
          newest: { id: '20261120T020000Z-aaaaaa', at: '2026-11-20T02:00:00Z', ageSeconds: 36_000 },
          newestProven: { id: '20261119T020000Z-aaaaaa', at: '2026-11-19T02:00:00Z', ageSeconds: 122_400 },
          objectives: [
            { objective: 'rpo', state: 'met', wantedSeconds: 93_600 },
            { objective: 'rto', state: 'met', wantedSeconds: 3600 },
            { objective: 'proven', state: 'met', wantedSeconds: null },
          ],
          lastRuns: [],
          nextRuns: [
            { operation: 'backup', running: false, at: '2026-11-21T02:00:00Z' },
            { operation: 'verify', running: true, at: null },
          ],
        },
      ],
    });
  });

  it('turns to 503 with the next report in which an objective is missed, and back with the one in which it is met', async () => {
    await using service = await serve();
    expect((await service.get('/health')).status).toBe(200);
    const missed = statusIn('shop', { ...allWell, newest: 30 });
    service.daemon.report = reportOf(statusIn('blog', allWell), missed);
    const failing = await service.get('/health');
    expect(failing.status).toBe(503);
    expect(health(failing.body)).toMatchObject({ status: 'failing', reasons: [{ kind: 'objective-missed', text: 'shop: rpo is missed' }] });
    service.daemon.report = reportOf(statusIn('shop', allWell));
    expect((await service.get('/health')).status).toBe(200);
  });

  it('turns to 503 in the second in which the recovery point gets too old, without a new report', async () => {
    await using service = await serve();
    const { daemon } = service;
    daemon.report = reportOf(statusIn('shop', { ...allWell, newest: 26 }));
    expect((await service.get('/health')).status).toBe(200);
    daemon.now = NOW.add({ seconds: 1 });
    const { status, body } = await service.get('/health');
    expect(status).toBe(503);
    expect(health(body).databases[0]?.newest?.ageSeconds).toBe(26 * 3600 + 1);
  });

  it.each([
    ['at risk', { ...allWell, worstGapSeconds: 200_000 }, 'objective-at-risk'],
    ['unknown', { ...allWell, verifications: [] }, 'objective-unknown'],
  ])('is degraded, and still 200, where an objective is %s', async (_, situation, kind) => {
    await using service = await serve();
    service.daemon.report = reportOf(statusIn('shop', situation));
    const { status, body } = await service.get('/health');
    expect([status, health(body).status, kinds(body)]).toEqual([200, 'degraded', [kind]]);
  });

  it.each([
    ['there is no report yet', 'report-missing', { report: undefined }],
    ['the report is older than three minutes', 'report-old', { reportAt: NOW.subtract({ seconds: 181 }) }],
    ['the clock was set back behind the report', 'report-old', { reportAt: NOW.add({ minutes: 10 }) }],
    ['the scheduler is stuck', 'scheduler-stuck', { stuck: true }],
  ])('is 503 where %s', async (_, kind, change) => {
    await using service = await serve();
    Object.assign(service.daemon, change);
    const { status, body } = await service.get('/health');
    expect([status, health(body).status, kinds(body)]).toEqual([503, 'failing', [kind]]);
  });

  it('takes a report of three minutes, and says that the scheduler has not begun', async () => {
    await using service = await serve();
    Object.assign(service.daemon, { reportAt: NOW.subtract({ minutes: 3 }), lastTick: undefined });
    const { status, body } = await service.get('/health');
    expect([status, kinds(body)]).toEqual([200, ['scheduler-not-started']]);
  });

  it('tells how the last runs went by code, and never what their errors say', async () => {
    await using service = await serve();
    const failed = {
      ...{ run: '20261120T020000Z-aaaaaa', startedAt: NOW.subtract({ hours: 10 }), finishedAt: NOW.subtract({ hours: 9 }) },
      ...{ result: 'failed' as const },
      error: { code: 'dump-failed' as const, message: 'postgres://app:pa55word@db/shop refused', hint: 'pa55word' },
    };
    service.daemon.report = reportOf(statusIn('shop', { ...allWell, history: { lastRuns: { backup: failed } } }));
    const { body } = await service.get('/health');
    expect(health(body).databases[0]?.lastRuns).toEqual([
      {
        ...{ operation: 'backup', startedAt: '2026-11-20T02:00:00Z', finishedAt: '2026-11-20T03:00:00Z' },
        ...{ result: 'failed', error: 'dump-failed' },
      },
    ]);
    for (const path of ['/health', '/metrics']) expect((await service.get(path)).body).not.toContain('pa55word');
  });

  it('is that of the configuration after a reload', async () => {
    const [before, after] = [servedDaemon(), servedDaemon()];
    after.report = reportOf(statusIn('blog', allWell));
    let current = before;
    await using service = await serve(before, {}, () => current.source());
    current = after;
    expect(health((await service.get('/health')).body).databases.map(({ database }) => database)).toEqual(['blog']);
  });
});

describe('the probes', () => {
  it('/health/live is 200 while the scheduler is not stuck, whatever the objectives', async () => {
    await using service = await serve();
    service.daemon.report = undefined;
    expect(await service.get('/health/live')).toMatchObject({ status: 200, body: '{"status":"ok"}\n' });
    service.daemon.stuck = true;
    expect(await service.get('/health/live')).toMatchObject({ status: 503, body: '{"status":"failing"}\n' });
  });

  it('/health/ready is 200 once there is a report', async () => {
    await using service = await serve();
    service.daemon.report = undefined;
    expect(await service.get('/health/ready')).toMatchObject({ status: 503, body: '{"status":"failing"}\n' });
    service.daemon.report = reportOf(statusIn('shop', { ...allWell, newest: 30 }));
    expect(await service.get('/health/ready')).toMatchObject({ status: 200, body: '{"status":"ok"}\n' });
  });
});

describe('/metrics', () => {
  it('holds the status, what the daemon knows of itself, and the process, in the format that Prometheus reads', async () => {
    await using service = await serve();
    service.daemon.now = NOW.add({ seconds: 15 });
    service.daemon.counter.note({
      ...{ type: 'finished', start: { job: jobOf('0 2 * * *'), dueAt: NOW, why: 'due', attempt: 1 } },
      ...{ outcome: succeeded, ms: 1 },
    });
    const { status, headers, body } = await service.get('/metrics');
    expect([status, headers['content-type']]).toEqual([200, 'text/plain; version=0.0.4; charset=utf-8']);
    const families = parseExposition(body);
    const samples = (name: string) => families.get(name)?.samples.map(({ labels, value }) => ({ ...labels, value }));
    const at = NOW.epochMilliseconds / 1000;
    expect(samples('jetbackup_rpo_seconds')).toEqual([{ database: 'shop', value: 36_015 }]);
    expect(samples('jetbackup_schedule_next_timestamp_seconds')).toEqual([
      { operation: 'backup', database: 'shop', value: at + 14 * 3600 },
      { operation: 'prune', value: at + 18 * 3600 },
    ]);
    expect(samples('jetbackup_scheduler_last_tick_timestamp_seconds')).toEqual([{ value: at - 20 }]);
    expect(samples('jetbackup_status_timestamp_seconds')).toEqual([{ value: at }]);
    expect(samples('jetbackup_build_info')).toEqual([{ version: '1.2.3', value: 1 }]);
    expect(samples('jetbackup_runs_total')).toContainEqual({ operation: 'backup', result: 'succeeded', value: 1 });
    expect(samples('jetbackup_runs_total')).toContainEqual({ operation: 'verify', result: 'failed', value: 0 });
    expect(samples('process_start_time_seconds')).toEqual([{ value: at - 7200 }]);
    expect(samples('process_resident_memory_bytes')?.[0]?.value).toBeGreaterThan(10_000_000);
    expect(families.get('process_cpu_seconds_total')?.type).toBe('counter');
    expect(families.get('jetbackup_runs_total')?.type).toBe('counter');
  });

  it('is there before the first report, so that its absence means that the daemon is gone', async () => {
    await using service = await serve();
    Object.assign(service.daemon, { report: undefined, lastTick: undefined });
    const { status, body } = await service.get('/metrics');
    const families = parseExposition(body);
    expect(status).toBe(200);
    for (const name of ['jetbackup_status_timestamp_seconds', 'jetbackup_scheduler_last_tick_timestamp_seconds']) {
      expect(families.get(name)?.samples).toEqual([{ name, labels: {}, value: 0 }]);
    }
    expect(families.has('jetbackup_rpo_seconds')).toBe(false);
  });
});

describe('requests', () => {
  it('with HEAD get the headers of GET and no body', async () => {
    await using service = await serve();
    for (const path of ['/health', '/health/live', '/health/ready', '/metrics']) {
      const { status, headers, body } = await service.get(path, { method: 'HEAD' });
      expect([status, body, headers.connection]).toEqual([200, '', 'close']);
      expect(Number(headers['content-length'])).toBeGreaterThan(10);
    }
  });

  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PATCH'])('with %s are refused, saying what is allowed', async (method) => {
    await using service = await serve();
    const { status, headers } = await service.get('/health', { method });
    expect([status, headers.allow]).toEqual([405, 'GET, HEAD']);
  });

  it.each(['/', '/healthz', '/health/', '/health/live/x', '/metrics/../etc/passwd', '/%2e%2e/metrics', '//health', '*'])(
    'for %s find nothing there',
    async (path) => {
      await using service = await serve();
      expect(await service.get(path)).toMatchObject({
        status: 404,
        body: 'there are /health, /health/live, /health/ready and /metrics\n',
      });
    },
  );

  it('may have a query, which means nothing, or the whole URL, and no body', async () => {
    await using service = await serve();
    expect((await service.get('/health/live?verbose')).status).toBe(200);
    expect((await service.get('http://db.example:9432/health/live')).status).toBe(200);
    expect((await service.get('/health', { body: 'x', headers: { 'content-length': '1' } })).status).toBe(413);
    expect((await service.get('/health', { body: 'x', headers: { 'transfer-encoding': 'chunked' } })).status).toBe(413);
  });

  it('that break something are answered without what broke, which is logged', async () => {
    await using service = await serve(servedDaemon(), {}, () => {
      throw new Error('postgres://app:pa55word@db/shop');
    });
    expect(await service.get('/health')).toMatchObject({ status: 500, body: 'internal error\n' });
    expect(service.logged).toEqual([expect.stringContaining('could not be answered')]);
  });
});

describe('a token', () => {
  const TOKEN = 'n0bodyKn0wsTh1sT0ken';

  it('is asked for where one is set, and only for what tells something', async () => {
    await using service = await serve(servedDaemon(), { token: () => TOKEN });
    for (const path of ['/health', '/metrics']) {
      for (const authorization of [undefined, 'Bearer', `Bearer ${TOKEN}x`, `Bearer ${TOKEN.slice(1)}`, `Basic ${TOKEN}`, TOKEN]) {
        const { status, headers, body } = await service.get(path, authorization === undefined ? {} : { headers: { authorization } });
        expect([status, headers['www-authenticate'], body]).toEqual([401, 'Bearer realm="jetbackup"', 'a bearer token is needed\n']);
      }
      expect((await service.get(path, { headers: { authorization: `Bearer ${TOKEN}` } })).status).toBe(200);
      expect((await service.get(path, { headers: { authorization: `bearer ${TOKEN}` } })).status).toBe(200);
    }
    for (const path of ['/health/live', '/health/ready']) expect((await service.get(path)).status).toBe(200);
  });

  it('is in no answer, and may change while the server runs', async () => {
    let token = TOKEN;
    await using service = await serve(servedDaemon(), { token: () => token });
    const headers = { authorization: `Bearer ${TOKEN}` };
    for (const path of ['/health', '/metrics', '/health/live', `/${TOKEN}`]) {
      const reply = await service.get(path, { headers });
      expect(JSON.stringify([reply.headers, reply.body])).not.toContain(TOKEN);
    }
    token = 'anotherT0kenAlt0gether';
    expect((await service.get('/health', { headers })).status).toBe(401);
    expect((await service.get('/health', { headers: { authorization: `Bearer ${token}` } })).status).toBe(200);
    token = '';
    expect((await service.get('/health', { headers: { authorization: 'Bearer ' } })).status).toBe(401);
  });
});

describe('TLS', () => {
  let folder: string;
  let pem: { cert: Buffer; key: Buffer };
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'jetbackup-tls-'));
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    execFileSync('openssl', ['req', '-x509', ...curve, ...names, '-days', '2', '-keyout', key, '-out', cert], { stdio: 'ignore' });
    pem = { cert: readFileSync(cert), key: readFileSync(key) };
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('is spoken with the certificate that is given, and nothing else', async () => {
    await using service = await serve(servedDaemon(), { tls: pem });
    expect(await service.get('/health', { ca: pem.cert.toString() })).toMatchObject({ status: 200 });
    await expect(service.get('/health')).rejects.toThrow(/self-signed/);
    const plain = await service.send('GET /health HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(plain).toMatchObject({ closed: true });
    expect(plain.text).not.toContain('shop');
    expect(await service.get('/health/live', { ca: pem.cert.toString() })).toMatchObject({ status: 200 });
  });

  it('closes within moments although somebody connected and said nothing', async () => {
    const service = await serve(servedDaemon(), { tls: pem });
    const silent = connect(service.port, '127.0.0.1').on('error', () => {});
    const cut = new Promise((resolve) => silent.once('close', resolve));
    await new Promise((resolve) => silent.once('connect', resolve));
    await service.get('/health/live', { ca: pem.cert.toString() });
    const from = systemClock.monotonicMs();
    await service[Symbol.asyncDispose]();
    await cut;
    expect(systemClock.monotonicMs() - from).toBeLessThan(3_000);
  });

  it('with a certificate and a key that do not belong together is refused, saying what to set', async () => {
    const failure = await serve(servedDaemon(), { tls: { cert: pem.cert, key: 'no key at all' } }).catch((error: unknown) => error);
    expect(isJetbackupError(failure, 'config-invalid') && failure.hint).toContain('http.tlsKey');
  });
});

describe('the server', () => {
  it('says what to do where the port is taken', async () => {
    await using service = await serve();
    const failure = await serve(servedDaemon(), { port: service.port }).catch((error: unknown) => error);
    expect(isJetbackupError(failure, 'config-invalid') && failure.message).toContain(`127.0.0.1 port ${service.port}`);
    expect(isJetbackupError(failure) && failure.hint).toContain('http: off');
  });

  it('closes within moments although a client holds its connection, and leaves the port free', async () => {
    const service = await serve();
    const idle = connect(service.port, '127.0.0.1');
    const cut = new Promise((resolve) => idle.once('close', resolve));
    idle.on('error', () => {});
    await new Promise<void>((resolve) => idle.write('GET /health HTTP/1.1\r\n', () => resolve()));
    const from = systemClock.monotonicMs();
    await service[Symbol.asyncDispose]();
    await service[Symbol.asyncDispose]();
    expect(systemClock.monotonicMs() - from).toBeLessThan(3_000);
    await cut;
    const { daemon, port } = service;
    await using again = await serveHttp({ host: '127.0.0.1', port, token: undefined, tls: undefined }, daemon.source, {
      clock: daemon.clock,
      log: () => {},
    });
    expect(again.address).toEqual({ host: '127.0.0.1', port });
  });

  it('answers many at once', async () => {
    await using service = await serve();
    service.daemon.report = reportOf(...Array.from({ length: 50 }, (_, index) => statusIn(`db${index}`, { verifications: [verified] })));
    const replies = await Promise.all(Array.from({ length: 40 }, () => service.get('/metrics')));
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]));
  });
});
