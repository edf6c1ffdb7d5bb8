import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { manifestKey, runRecordKey } from '../../../src/catalog/layout.ts';
import { bytesOf } from '../../../src/core/bytes.ts';
import { JetbackupError } from '../../../src/core/errors.ts';
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
  const at = (day: number) => daysAgo(day).toString();
  interface Given {
    /** Days ago: backups that left a record, and those that are still there. */
    readonly recorded: readonly number[];
    readonly there?: readonly number[];
    /** What a verification found, days ago, of the backup of which day. */
    readonly found?: readonly (readonly [ago: number, of: number, outcome: 'failed' | 'proven'])[];
    /** Found bad just now. */
    readonly failed?: number;
  }
  async function figures({ recorded, there = [], found = [], failed }: Given) {
    const store = createMemoryStore({ clock: systemClock });
    for (const day of there) await store.put(manifestKey('shop', idAt(at(day))), bytesOf('{}'));
    for (const day of recorded) {
      const id = idAt(at(day));
      await putRun(store, { ...runRecord('backup'), ...{ id, backup: id, startedAt: at(day), finishedAt: at(day) } });
    }
    for (const [ago, of, outcome] of found)
      await putRun(store, verificationRecord({ at: at(ago), change: { backup: idAt(at(of)) }, verification: { outcome } }));
    const of = { database: 'shop', failed: failed === undefined ? undefined : idAt(at(failed)), now };
    const { newest, worstGapSeconds } = await recoveryFigures(store, of, new AbortController().signal);
    return [newest === undefined ? undefined : days(now.since(newest).total('seconds')), days(worstGapSeconds)];
  }
  const every = [31, 26, 21, 16, 11, 6, 1];

  it('counts what retention has thinned out since', async () => {
    const nightly = Array.from({ length: 120 }, (_, day) => day + 1);
    expect(await figures({ recorded: nightly, there: [1, 2, 3, 56, 86, 117] })).toEqual([1, 1]);
  });

  it('does not count what a verification found bad, unless a later one proved it', async () => {
    expect(await figures({ recorded: every })).toEqual([1, 5]);
    expect(await figures({ recorded: every, found: [[10.5, 11, 'failed']] })).toEqual([1, 10]);
    expect(
      await figures({
        recorded: every,
        found: [
          [10.5, 11, 'failed'],
          [9, 11, 'proven'],
        ],
      }),
    ).toEqual([1, 5]);
    expect(await figures({ recorded: every, there: [11], found: [[10.5, 11, 'failed']] })).toEqual([1, 10]);
    expect(await figures({ recorded: every, failed: 1 })).toEqual([6, 6]);
  });

  it('goes back to the last good one before the window, past one that was found bad', async () => {
    const recorded = [80, 45, 35, 25, 20, 15, 10, 5, 1];
    expect(await figures({ recorded })).toEqual([1, 10]);
    expect(await figures({ recorded, found: [[34, 35, 'failed']] })).toEqual([1, 20]);
  });

  it('counts a backup that is there and left no record', async () => {
    expect(await figures({ recorded: [31, 1], there: [16] })).toEqual([1, 15]);
    expect(await figures({ recorded: [], there: [40, 8] })).toEqual([8, 32]);
  });

  it('is looked for no further back than `status` looks; where no record may be read the gap is not told, and the newest backup is', async () => {
    const store = createMemoryStore({ clock: systemClock });
    const [first = '', ...others] = Array.from({ length: 4_500 }, (_, index) => idAt(now.subtract({ hours: index + 1 }).toString()));
    for (const id of [first, ...others]) await store.put(runRecordKey(id), bytesOf('{}'));
    let reads = 0;
    const counting = (get: typeof store.get): typeof store => ({
      ...store,
      async get(key, options) {
        reads += 1;
        return await get(key, options);
      },
    });
    const of = { database: 'shop', failed: undefined, now };
    const { signal } = new AbortController();
    await recoveryFigures(counting(store.get), of, signal);
    expect(reads).toBe(4_400);
    reads = 0;
    const denying: typeof store.get = async (key) => {
      throw new JetbackupError('storage-denied', `${key} may not be read`);
    };
    await store.put(manifestKey('shop', idAt('2026-11-19T02:00:00Z')), bytesOf('{}'));
    const { newest, worstGapSeconds } = await recoveryFigures(counting(denying), of, signal);
    expect([newest?.toString(), worstGapSeconds]).toEqual(['2026-11-19T02:00:00Z', null]);
    expect(reads).toBe(400);
  });
});
