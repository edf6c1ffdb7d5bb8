import { describe, expect, it } from 'vitest';
import type { Heartbeat } from '../../../src/alerts/alert.ts';
import { heartbeatsFor } from '../../../src/operations/heartbeats.ts';
import type { RunKind } from '../../../src/operations/last-runs.ts';
import { simulatedClock } from '../../support/simulated-time.ts';
import { NOW } from '../../support/status-reports.ts';

const never = new AbortController().signal;

/** Beats of two checks while a job runs: `all start`, `crm success`. */
async function beats(kind: RunKind, work: () => Promise<string>): Promise<{ heard: string[]; texts: string[] }> {
  const heard: string[] = [];
  const texts: string[] = [];
  const check = (name: string, changes: Partial<Heartbeat>): Heartbeat => ({
    ...{ name, operations: ['backup', 'prune'], databases: undefined },
    beat: async (beat, { text }) => {
      heard.push(`${name} ${beat}`);
      texts.push(text);
    },
    ...changes,
  });
  const beating = heartbeatsFor(
    {
      clock: simulatedClock(NOW),
      heartbeats: [check('all', {}), check('crm', { databases: ['crm'] })],
      redact: (text) => text.replace('s3cret', '[redacted]'),
      onFailure: () => {},
    },
    kind,
  );
  const failureOf = (result: string) => (result === 'ok' ? undefined : result);
  await beating(work, never, failureOf).catch(() => {});
  return { heard, texts };
}

describe('the heartbeats of a job', () => {
  it('hear of its beginning and its end', async () => {
    expect((await beats({ operation: 'backup', database: 'shop' }, async () => 'ok')).heard).toEqual(['all start', 'all success']);
  });

  it('hear that it failed, whether it throws or says so', async () => {
    const said = await beats({ operation: 'backup', database: 'shop' }, async () => 'no room, s3cret');
    expect(said.heard).toEqual(['all start', 'all fail']);
    expect(said.texts.at(-1)).toBe('backup of shop failed: no room, [redacted]');
    const thrown = await beats({ operation: 'backup', database: 'shop' }, async () => {
      throw new Error('gone');
    });
    expect(thrown.heard).toEqual(['all start', 'all fail']);
  });

  it('of one database hear of a prune of all', async () => {
    const { heard, texts } = await beats({ operation: 'prune', database: null }, async () => 'ok');
    expect(heard.toSorted()).toEqual(['all start', 'all success', 'crm start', 'crm success']);
    expect(texts).toContain('prune of all databases is done');
  });

  it('hear nothing of kinds that they are not for', async () => {
    expect((await beats({ operation: 'verify', database: 'crm' }, async () => 'ok')).heard).toEqual([]);
    expect((await beats({ operation: 'restore', database: 'crm' }, async () => 'ok')).heard).toEqual([]);
  });
});
