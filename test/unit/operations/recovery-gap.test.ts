import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { manifestKey } from '../../../src/catalog/layout.ts';
import { bytesOf } from '../../../src/core/bytes.ts';
import { gapsOf, recoveryFigures } from '../../../src/operations/recovery-gap.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createMemoryStore } from '../../support/memory-store.ts';
import { idAt, putRun, verificationRecord } from '../../support/verifications.ts';
import { runRecord } from '../cli/command-line.ts';

const now = Temporal.Instant.from('2026-11-30T02:00:00Z');
const daysAgo = (days: number) => now.subtract({ hours: 24 * days });
const days = (seconds: number | null) => (seconds === null ? null : seconds / 86_400);

describe('the longest gap', () => {
  const of = (...ago: number[]) => {
    const { newest, worstGapSeconds } = gapsOf(
      ago.map((one) => daysAgo(one).epochMilliseconds),
      now.epochMilliseconds,
    );
    return [newest === undefined ? undefined : days(now.since(newest).total('seconds')), days(worstGapSeconds)];
  };
  it.each([
    ['is told up to now', [3, 2, 1], [1, 1]],
    ['is told in any order', [1, 9, 2], [1, 7]],
    ['that began before the window is as long as it is', [60, 40, 2, 1], [1, 38]],
    ['that ended before the window is over', [90, 31, 29, 20, 10], [10, 10]],
    ['of one that is older than the window lasts until now', [40], [40, 40]],
    ['is unknown where there is nothing', [], [undefined, null]],
    ['ends with what is dated ahead', [2, -5], [0, 2]],
  ])('%s', (_, ago, expected) => {
    expect(of(...ago)).toEqual(expected);
  });
});

describe('what run records tell', () => {
  async function figures(failed?: string) {
    const store = createMemoryStore({ clock: systemClock });
    const at = (day: number) => daysAgo(day).toString();
    await store.put(manifestKey('shop', idAt(at(40))), bytesOf('{}'));
    for (const day of [20, 15, 10, 5, 1]) {
      await putRun(store, {
        ...runRecord('backup'),
        ...{ id: idAt(at(day)), backup: idAt(at(day)), startedAt: at(day), finishedAt: at(day) },
      });
    }
    const failedAt = (day: number, of: number, outcome: 'failed' | 'proven') =>
      putRun(store, verificationRecord({ at: at(day), change: { backup: idAt(at(of)) }, verification: { outcome } }));
    await failedAt(9, 10, 'failed');
    await failedAt(4.5, 5, 'failed');
    await failedAt(4, 5, 'proven');
    const { newest, worstGapSeconds } = await recoveryFigures(store, { database: 'shop', failed, now }, new AbortController().signal);
    return [newest?.toString(), days(worstGapSeconds)];
  }

  it('counts neither what a verification found bad, nor the time before the window for nothing', async () => {
    expect(await figures()).toEqual([daysAgo(1).toString(), 20]);
    expect(await figures(idAt(daysAgo(1).toString()))).toEqual([daysAgo(5).toString(), 20]);
    expect(await figures(idAt(daysAgo(20).toString()))).toEqual([daysAgo(1).toString(), 25]);
  });
});
