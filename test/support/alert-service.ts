import type { AlertChannel, AlertTarget, Notice } from '../../src/alerts/alert.ts';
import type { Facts } from '../../src/alerts/facts.ts';
import { defaultPolicy } from '../../src/alerts/policy.ts';
import { REPOSITORY_KEY } from '../../src/catalog/layout.ts';
import { bytesOf } from '../../src/core/bytes.ts';
import { type AcknowledgeInput, acknowledgeIncidents } from '../../src/operations/acknowledge.ts';
import { createAlertRounds, type RoundResult } from '../../src/operations/alert-rounds.ts';
import type { ObjectStore } from '../../src/storage/store.ts';
import type { FakeHost, FakeTime } from './fake-time.ts';

export const REPOSITORY = '7c9a8f0e-2f4b-4a53-9c86-4b7d1f3f2a10';
const never = new AbortController().signal;

export async function putRepository(store: ObjectStore): Promise<void> {
  await store.put(REPOSITORY_KEY, bytesOf(JSON.stringify({ format: 1, id: REPOSITORY, createdAt: '2026-11-01T00:00:00Z' })));
}

/** A receiver that all daemons of a test share, and who told it what: `db1 trigger backup-failed/shop`. */
export function sharedReceiver() {
  const heard: { readonly by: string; readonly notice: Notice }[] = [];
  return {
    heard,
    channelFor: (by: string): AlertChannel => ({ name: 'pager', send: async (notice) => void heard.push({ by, notice }) }),
    /** What came since the last call. */
    news(): string[] {
      return heard.splice(0).map(({ by, notice: { kind, rule, database } }) => `${by} ${kind} ${rule}/${database}`);
    },
  };
}

export interface Daemon {
  readonly host: FakeHost;
  round(facts: Facts): Promise<RoundResult>;
  /** As on SIGTERM. */
  stop(): Promise<void>;
  /** Says from this host that somebody is at it. */
  acknowledge(input: AcknowledgeInput): ReturnType<typeof acknowledgeIncidents>;
}

/** One service of a host, over a store that all share. */
export function startDaemon(
  time: FakeTime,
  name: string,
  { store, channel, host = time.host() }: { readonly store: ObjectStore; readonly channel: AlertChannel; readonly host?: FakeHost },
): Daemon {
  const filter = { severity: 'info', rules: undefined, databases: undefined } as const;
  const targets: readonly AlertTarget[] = [{ channel, filter }];
  const rounds = createAlertRounds({ store, clock: host }, { targets, policy: defaultPolicy, holder: name });
  return {
    host,
    round: async ({ channels: _, ...facts }) => await rounds.round({ ...facts, now: host.now() }, never),
    stop: async () => await rounds[Symbol.asyncDispose](),
    acknowledge: (input) => acknowledgeIncidents({ store, clock: host, targets, by: `ops@${name}` }, input, never),
  };
}
