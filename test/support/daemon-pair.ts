import { leasesLeft, MINUTE_MS, overlaps, type RunningDaemon, runRecords, type Slot, slotsOf, startDaemon } from './daemons.ts';
import type { Installation } from './installation.ts';

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface PairOptions {
  readonly installation: Installation;
  readonly seed: number;
  /** Whole minutes whose slots are looked at. */
  readonly minutes: number;
  /** Time between two kills, ms. */
  readonly killEveryMs: readonly [number, number];
  readonly tell: (text: string) => void;
}

export interface PairResult {
  readonly slots: readonly Slot[];
  readonly kills: number;
  /** Kills of an instance that was making a backup. */
  readonly killsInBackup: number;
  /** What must not be, in words; empty where all is well. */
  readonly problems: readonly string[];
}

/** Two leases of a job that comes each minute, and a backup. */
const TAKE_OVER_MS = 40_000;

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, Math.max(0, ms)));
const clock = (ms: number) => new Date(ms).toISOString().slice(11, 23);

/**
 * Two daemons with a per-minute schedule on one repository, one or the other of which is killed with SIGKILL and started again, at
 * random: half of the times anywhere, half of the times in the first seconds of a minute, when backups are made. Both are stopped with
 * SIGTERM in the end.
 */
export async function runPair({ installation, seed, minutes, killEveryMs, tell }: PairOptions): Promise<PairResult> {
  const random = seeded(seed);
  const between = (from: number, to: number) => from + random() * (to - from);
  tell(`seed ${seed}`);
  const pair: RunningDaemon[] = [await startDaemon(installation), await startDaemon(installation)];
  const dead: RunningDaemon[] = [];
  const from = Math.ceil((Date.now() + 1000) / MINUTE_MS) * MINUTE_MS;
  const to = from + minutes * MINUTE_MS;
  let killsInBackup = 0;
  for (;;) {
    let at = Date.now() + between(...killEveryMs);
    if (random() < 0.5) at = Math.ceil(at / MINUTE_MS) * MINUTE_MS + between(0, 3000);
    // What is killed in the last slot must be taken over within it.
    if (at > to - TAKE_OVER_MS) break;
    await sleep(at - Date.now());
    // Where a backup is made, one at it rather than the other.
    const atWork = pair.findIndex(isAtWork);
    const index = atWork >= 0 && random() < 0.7 ? atWork : random() < 0.5 ? 0 : 1;
    const victim = pair[index];
    if (victim === undefined) throw new Error('there are two');
    const what = isAtWork(victim) ? 'making a backup' : 'idle';
    if (isAtWork(victim)) killsInBackup += 1;
    tell(`${clock(Date.now())} SIGKILL of instance ${index + 1} (pid ${victim.run.child.pid}), ${what}`);
    await victim.stop('SIGKILL');
    dead.push(victim);
    await sleep(between(500, 4000));
    pair[index] = await startDaemon(installation);
  }
  await sleep(to - 3000 - Date.now());
  const problems: string[] = [];
  for (const daemon of pair) {
    const code = await daemon.stop();
    if (code !== 0) problems.push(`an instance ended with ${code} at SIGTERM: ${daemon.run.stderr().slice(-500)}`);
  }
  const slots = await slotsOf(installation, from, to);
  for (const { due, backups, runs } of slots) {
    const of = `slot ${clock(due)}`;
    if (backups.length === 0) problems.push(`${of} was missed`);
    if (backups.length > 1) problems.push(`${of} was run more than once: ${backups.join(', ')}`);
    // One that is killed between its commit and its record leaves the backup alone.
    if (runs.length > 1 || runs.some((id) => !backups.includes(id))) problems.push(`${of}: run records say ${runs.join(', ')}`);
  }
  const records = await runRecords(installation.repository);
  problems.push(...overlaps(records).map((text) => `two at once: ${text}`));
  problems.push(...records.filter(({ result }) => result !== 'succeeded').map((run) => `${run.id} ${run.result}: ${run.error?.message}`));
  problems.push(...(await leasesLeft(installation.repository)).map((key) => `left: ${key}`));
  for (const daemon of [...dead, ...pair]) {
    const bad = daemon.lines().filter(({ level }) => level === 'error');
    problems.push(...bad.map(({ msg }) => `logged: ${msg}`));
  }
  return { slots, kills: dead.length, killsInBackup, problems };
}

/** By what it logged last: between the beginning of a run and the backup. */
function isAtWork(daemon: RunningDaemon): boolean {
  const lines = daemon.lines();
  const began = lines.findLastIndex(({ run }) => run !== undefined);
  return began >= 0 && began > lines.findLastIndex(({ msg }) => / (?:succeeded|failed|interrupted)$/.test(msg));
}
