import { type IncomingHttpHeaders, request } from 'node:http';
import { request as requestTls } from 'node:https';
import { connect } from 'node:net';
import { Temporal } from 'temporal-polyfill';
import { type HealthSource, type HttpSettings, serveHttp } from '../../../src/daemon/http.ts';
import { createRunCounter } from '../../../src/daemon/run-counter.ts';
import type { JobStatus } from '../../../src/daemon/scheduler.ts';
import type { StatusReport } from '../../../src/operations/status.ts';
import { type Clock, type Instant, systemClock } from '../../../src/platform/clock.ts';
import { NOW, reportOf, type Situation, statusIn } from '../../support/status-reports.ts';
import { verificationEntry } from '../../support/verifications.ts';
import { HOUR_MS, jobOf } from './jobs.ts';

/** A daemon in which all is well, as far as HTTP sees it; every part of it can be changed while it serves. */
export interface ServedDaemon {
  now: Instant;
  startedAt: Instant;
  lastTick: Instant | undefined;
  stuck: boolean;
  report: StatusReport | undefined;
  reportAt: Instant;
  jobs: readonly JobStatus[];
  readonly counter: ReturnType<typeof createRunCounter>;
  readonly source: () => HealthSource;
  readonly clock: Clock;
}

export const verified = verificationEntry({ at: '2026-11-19T06:00:00Z', rtoSeconds: 600 });

/** Met in everything; no trend that could break. */
export const allWell: Situation = {
  ...{ objectives: { rpoMs: 26 * HOUR_MS, rtoMs: 3600_000 }, newest: 10, newestProven: 34, worstGapSeconds: 86_400 },
  verifications: [verified],
};

export function servedDaemon(): ServedDaemon {
  const daemon: ServedDaemon = {
    now: NOW,
    startedAt: NOW.subtract({ hours: 2 }),
    lastTick: NOW.subtract({ seconds: 20 }),
    stuck: false,
    report: reportOf(statusIn('shop', allWell)),
    reportAt: NOW,
    jobs: [
      {
        job: jobOf('0 2 * * *'),
        running: undefined,
        next: { at: NOW.add({ hours: 14 }), dueAt: NOW.add({ hours: 14 }), why: 'due' },
      },
      {
        job: jobOf('0 4 1 * *', { id: 'verify:shop', operation: 'verify' }),
        running: { dueAt: NOW, why: 'due', startedAt: NOW },
        next: undefined,
      },
      {
        job: jobOf('0 6 * * *', { id: 'prune', operation: 'prune', database: null }),
        running: undefined,
        next: { at: NOW.add({ hours: 18 }), dueAt: NOW.add({ hours: 18 }), why: 'due' },
      },
    ],
    counter: createRunCounter(),
    source: () => ({
      startedAt: daemon.startedAt,
      version: '1.2.3',
      scheduler: { status: () => daemon.jobs, lastTick: () => daemon.lastTick, isStuck: () => daemon.stuck },
      report: () => (daemon.report === undefined ? undefined : { report: daemon.report, at: daemon.reportAt }),
      runs: daemon.counter.counts,
    }),
    // Waits are real: they are about sockets.
    clock: { ...systemClock, now: () => daemon.now },
  };
  return daemon;
}

export interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A server on a free port of this machine; `logged` are the texts that it told. */
export async function serve(daemon = servedDaemon(), settings: Partial<HttpSettings> = {}, source = daemon.source) {
  const logged: string[] = [];
  const log = (event: { readonly type: string; readonly text?: string }) => void logged.push(event.text ?? event.type);
  const asked = { host: '127.0.0.1', port: 0, token: undefined, tls: undefined, ...settings };
  const server = await serveHttp(asked, source, { clock: daemon.clock, log });
  const { port } = server.address;

  return {
    ...{ daemon, server, port, logged },
    get: (path: string, options: { method?: string; headers?: Record<string, string>; ca?: string; body?: string } = {}) =>
      new Promise<Reply>((resolve, reject) => {
        const { body: sent, ...rest } = options;
        const send = settings.tls === undefined ? request : requestTls;
        const outgoing = send({ host: '127.0.0.1', port, path, agent: false, ...rest }, (response) => {
          let body = '';
          response.setEncoding('utf8').on('data', (chunk: string) => {
            body += chunk;
          });
          response.once('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
          response.once('error', reject);
        });
        outgoing.once('error', reject);
        outgoing.end(sent);
      }),
    /** Sends bytes as they are, and gives what came back until the server closed the connection; so many ms at most. */
    send: (bytes: Uint8Array | string, { half = true, ms = 9_000 } = {}) =>
      new Promise<{ readonly text: string; readonly closed: boolean; readonly ms: number }>((resolve) => {
        const from = systemClock.monotonicMs();
        let text = '';
        const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
        const end = (closed: boolean) => {
          clearTimeout(timer);
          socket.destroy();
          resolve({ text, closed, ms: systemClock.monotonicMs() - from });
        };
        const timer = setTimeout(() => end(false), ms);
        socket.setEncoding('latin1').on('data', (chunk: string) => {
          text += chunk;
        });
        socket.on('end', () => end(true));
        socket.on('error', () => end(true));
        socket.on('close', () => end(true));
        socket.write(bytes);
        if (half) socket.end();
      }),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

export const instant = (text: string): Instant => Temporal.Instant.from(text);
