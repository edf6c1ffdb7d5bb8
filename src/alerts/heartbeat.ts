import { randomUUID } from 'node:crypto';
import type { BeatingOperation } from '../core/alert.ts';
import { messageOf } from '../core/errors.ts';
import type { Clock } from '../platform/clock.ts';
import { limitTo } from '../platform/deadline.ts';
import type { Beat, Heartbeat, Sensitive } from './alert.ts';
import type { AttemptDeps } from './attempts.ts';
import { post } from './http.ts';

export interface HeartbeatSettings {
  readonly name: string;
  /** Of one check: `https://hc-ping.com/<uuid>`. */
  readonly url: Sensitive;
  readonly operations: readonly BeatingOperation[];
  readonly databases: readonly string[] | undefined;
}

const paths: Readonly<Record<Beat, string>> = { start: '/start', success: '', fail: '/fail', log: '/log' };

/** Healthchecks.io keeps the first 100 kB; the end of a run says the most, and is shorter than that. */
const MAX_TEXT = 10_000;

/** healthchecks.io, and whatever has its addresses: `/start`, nothing, `/fail`, `/log`, with `rid` joining a run's pings. */
export function httpHeartbeat(deps: AttemptDeps, { name, url, operations, databases }: HeartbeatSettings): Heartbeat {
  return {
    name,
    operations,
    databases,
    async beat(beat, run, signal) {
      const address = new URL(url.reveal());
      address.pathname = `${address.pathname.replace(/\/$/, '')}${paths[beat]}`;
      address.searchParams.set('rid', run.id);
      const request = {
        channel: name,
        url: { reveal: () => address.href },
        body: run.text.slice(-MAX_TEXT),
        headers: () => ({ 'content-type': 'text/plain; charset=utf-8' }),
        refusedHint: `Put the ping URL of an existing check into the heartbeat "${name}".`,
      };
      await post(deps, request, signal);
    },
  };
}

/** What an interrupted run has left for saying so: the host may be going down. */
const FAREWELL_MS = 3000;
/** How long the end of a run waits for the word of its beginning, so that the two do not overtake each other. */
const GRACE_MS = 10_000;

/**
 * Runs `work` and tells the heartbeats of its beginning and its end, failed or not. A heartbeat that does not answer
 * delays no beginning and fails no run; `onFailure` hears of it. It may delay the end by a minute. Messages go through
 * `redact` before they leave. `database` null: of all, as a prune is; every heartbeat of its kind is told. Work that does not
 * throw says by `failureOf` that it failed, and why.
 */
export async function withHeartbeat<T>(
  {
    clock,
    heartbeats,
    redact,
    onFailure,
  }: {
    readonly clock: Clock;
    readonly heartbeats: readonly Heartbeat[];
    readonly redact: (text: string) => string;
    readonly onFailure: (heartbeat: string, error: unknown) => void;
  },
  of: { readonly operation: BeatingOperation; readonly database: string | null },
  work: () => Promise<T>,
  signal: AbortSignal,
  failureOf: (result: T) => string | undefined = () => undefined,
): Promise<T> {
  const id = randomUUID();
  const meant = heartbeats.filter(
    ({ operations, databases }) =>
      operations.includes(of.operation) && (databases === undefined || of.database === null || databases.includes(of.database)),
  );
  const all = async (beat: Beat, text: string, limit: AbortSignal): Promise<void> => {
    const told = meant.map((heartbeat) =>
      heartbeat.beat(beat, { id, text }, limit).catch((error: unknown) => onFailure(heartbeat.name, error)),
    );
    await Promise.all(told);
  };
  const what = `${of.operation} of ${of.database ?? 'all databases'}`;
  const start = new AbortController();
  const started = all('start', `${what} begins`, AbortSignal.any([signal, start.signal]));
  const waitForStart = async (): Promise<void> => {
    using grace = limitTo(clock, GRACE_MS);
    grace.signal.addEventListener('abort', () => start.abort());
    await started;
  };
  const end = async (beat: Beat, text: string): Promise<void> => {
    await waitForStart();
    if (!signal.aborted) return await all(beat, text, signal);
    using farewell = limitTo(clock, FAREWELL_MS);
    await all(beat, text, farewell.signal);
  };
  let result: T;
  try {
    result = await work();
  } catch (error) {
    await end('fail', redact(`${what} failed: ${messageOf(error)}`));
    throw error;
  }
  const failure = failureOf(result);
  if (failure === undefined) await end('success', `${what} is done`);
  else await end('fail', redact(`${what} failed: ${failure}`));
  return result;
}
