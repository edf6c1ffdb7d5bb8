import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { manifestKey } from '../../../src/catalog/layout.ts';
import { generateSigningKey, loadSigningKey } from '../../../src/crypto/signature.ts';
import { isMissed, judgedAt } from '../../../src/operations/status.ts';
import { createMemoryStore } from '../../support/memory-store.ts';
import { simulatedClock } from '../../support/simulated-time.ts';
import { openSmallInstallation } from '../../support/small-installation.ts';
import { putRun, verificationRecord } from '../../support/verifications.ts';

const start = Temporal.Instant.from('2026-11-01T02:00:00Z');
const HOUR = 3_600_000;
const objectives = { rpoMs: 26 * HOUR, rtoMs: 900_000 };

async function installation() {
  const clock = simulatedClock(start);
  const store = createMemoryStore({ clock });
  let rows = 100;
  const small = await openSmallInstallation({
    ...{ store, clock, policy: { daily: 5 } },
    rows: () => Array.from({ length: rows }, (_, index) => `row ${index}`),
  });
  return {
    ...{ small, store, clock },
    /** A backup each night, so many of them, with more rows each time; gives their ids. The clock then stands at noon after the last. */
    async nights(count: number, more = 10): Promise<string[]> {
      const ids: string[] = [];
      let night = start;
      for (let index = 0; index < count; index += 1) {
        clock.setTo(night);
        ids.push((await small.backup()).id);
        rows += more;
        night = night.add({ hours: 24 });
      }
      clock.setTo(night.subtract({ hours: 14 }));
      return ids;
    },
    async status() {
      const report = await small.status(objectives);
      const [shop] = report.databases;
      if (shop === undefined) throw new Error('there is no status of it');
      return { report, shop, states: Object.fromEntries(shop.verdicts.map(({ objective, state }) => [objective, state])) };
    },
  };
}

describe('the status', () => {
  it('of a repository without backups: the RPO is missed, and the rest unknown', async () => {
    const { report, shop, states } = await (await installation()).status();
    expect(states).toEqual({ rpo: 'missed', rto: 'unknown', proven: 'unknown' });
    expect(shop).toMatchObject({
      newest: undefined,
      newestProven: undefined,
      backups: 0,
      storedBytes: 0,
      rto: undefined,
      forecast: undefined,
    });
    expect(isMissed(report)).toBe(true);
  });

  it('of one with backups that were never verified: nothing is missed, and nothing is said to be proven', async () => {
    const { nights, status } = await installation();
    const ids = await nights(4);
    const { report, shop, states } = await status();
    expect(states).toEqual({ rpo: 'met', rto: 'unknown', proven: 'unknown' });
    expect(isMissed(report)).toBe(false);
    expect(shop.newest).toMatchObject({ id: ids[3], ageSeconds: 10 * 3600 });
    expect(shop.newestProven).toBeUndefined();
    expect(shop.worstGapSeconds).toBe(24 * 3600);
    expect(shop.history.lastRuns.backup).toMatchObject({ result: 'succeeded' });
    expect(shop.newestBytes?.dump).toBeGreaterThan(500);
    expect(shop.newestBytes?.stored).toBeGreaterThan(100);
  });

  it('judged at a later time says what a survey at that time would say', async () => {
    const { nights, status, small, clock } = await installation();
    const ids = await nights(4);
    await small.attachProof(ids[1] ?? '', 'proven');
    const { report } = await status();
    const noon = clock.now();
    for (const hours of [0, 15, 17, 400]) {
      clock.setTo(noon.add({ hours }));
      const { report: surveyed } = await status();
      const later = judgedAt(report, clock.now());
      const told = ({ at, databases }: typeof report) => ({
        at: at.toString(),
        databases: databases.map(({ newest, newestProven, newestFailed, verdicts }) => ({ newest, newestProven, newestFailed, verdicts })),
      });
      expect(told(later)).toEqual(told(surveyed));
      expect(isMissed(later)).toBe(hours > 16);
    }
  });

  it('tells the newest proven backup from the newest', async () => {
    const { nights, status, small } = await installation();
    const ids = await nights(4);
    await small.attachProof(ids[1] ?? '', 'proven');
    const { shop, states } = await status();
    expect(shop.newest?.id).toBe(ids[3]);
    expect(shop.newestProven).toMatchObject({ id: ids[1], ageSeconds: 58 * 3600 });
    expect(states['proven']).toBe('met');
  });

  it('takes no proof that somebody else signed', async () => {
    const { nights, status, small } = await installation();
    const [id = ''] = await nights(1);
    await small.attachProof(id, 'proven', loadSigningKey(generateSigningKey().privatePem, 'of somebody else'));
    expect((await status()).shop.newestProven).toBeUndefined();
  });

  it('counts no backup that was found bad, and none whose objects are gone', async () => {
    const { nights, status, small, store } = await installation();
    const ids = await nights(3);
    await small.attachProof(ids[2] ?? '', 'failed');
    const bad = await status();
    expect(bad.shop).toMatchObject({ newest: { id: ids[1] }, newestFailed: { id: ids[2] } });
    expect(bad.shop.worstGapSeconds).toBe(bad.shop.newest?.ageSeconds);
    expect(bad.states).toEqual({ rpo: 'missed', rto: 'unknown', proven: 'missed' });
    for await (const { key } of store.list(`shop/${ids[1]}/`)) {
      if (key !== manifestKey('shop', ids[1] ?? '')) await store.delete(key);
    }
    expect((await status()).shop.newest?.id).toBe(ids[0]);
  });

  it('is not taken in by a backup that is dated ahead', async () => {
    const { nights, status, small, clock } = await installation();
    const ids = await nights(2);
    const noon = clock.now();
    clock.setTo(noon.add({ hours: 24 * 365 }));
    await small.backup();
    clock.setTo(noon);
    const { shop } = await status();
    expect(shop.newest?.id).toBe(ids[1]);
    expect(shop.worstGapSeconds).toBe(24 * 3600);
  });

  it('remembers a gap that retention has thinned out of the repository', async () => {
    const { nights, status, small, clock } = await installation();
    await nights(3);
    clock.setTo(start.add({ hours: 24 * 5 }));
    for (let day = 5; day < 12; day += 1) {
      clock.setTo(start.add({ hours: 24 * day }));
      await small.backup();
    }
    await small.prune();
    const { shop, states } = await status();
    expect(shop.backups).toBe(5);
    expect(shop.worstGapSeconds).toBe(3 * 24 * 3600);
    expect(states['rpo']).toBe('at risk');
  });

  it('foretells the RTO by verifications and by the sizes of the backups', async () => {
    const { nights, status, store } = await installation();
    await nights(20);
    const bytes = (await status()).shop.newestBytes?.dump ?? 0;
    for (const [day, share] of [
      [2, 0.5],
      [9, 0.75],
      [19, 1],
    ] as const) {
      const at = start.add({ hours: 24 * day + 1 }).toString();
      await putRun(store, verificationRecord({ at, bytes: Math.round(bytes * share), rtoSeconds: 100 + 400 * share }));
    }
    const { shop, states } = await status();
    expect(shop.rto).toMatchObject({ runs: 3, medianSeconds: 400, worst: { rtoSeconds: 500 }, newest: { rtoSeconds: 500 } });
    expect(shop.forecast).toMatchObject({ method: 'fitted', now: { bytes } });
    expect(shop.forecast?.now.seconds).toBeCloseTo(500, 0);
    expect(shop.forecast?.growth?.bytesPerMonth).toBeGreaterThan(0);
    expect(shop.forecast?.projected[1]?.seconds).toBeGreaterThan(500);
    expect(states['rto']).toBe('at risk');
    expect(shop.history.lastRuns.verify?.result).toBe('succeeded');
  });

  it('names the backup that has frozen deletion', async () => {
    const { nights, status } = await installation();
    const ids = await nights(6, -20);
    expect((await status()).shop.frozenBy).toBe(ids.at(-1));
  });
});
