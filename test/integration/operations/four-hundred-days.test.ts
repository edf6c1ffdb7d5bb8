import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Temporal } from 'temporal-polyfill';
import { expect, it } from 'vitest';
import { JetbackupError } from '../../../src/core/errors.ts';
import { createFilesystemStore } from '../../../src/storage/filesystem.ts';
import { datedStore, mortalStore, simulatedClock } from '../../support/simulated-time.ts';
import { smallArchive } from '../../support/small-archive.ts';
import { openSmallInstallation } from '../../support/small-installation.ts';

const ZONE = 'Europe/Berlin';
const DAYS = 400;
const SEED = Number(process.env['JETBACKUP_TEST_SEED'] ?? 20_261_125);
const TIERS = { daily: 7, weekly: 4, monthly: 12 } as const;

/** mulberry32: the same draws for the same seed, on every machine. */
function draws(seed: number): { chance(p: number): boolean; whole(most: number): number } {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return { chance: (p) => next() < p, whole: (most) => 1 + Math.floor(next() * most) };
}

type Tier = keyof typeof TIERS;

interface Made {
  readonly id: string;
  readonly rows: readonly string[];
  /** By the calendar alone. */
  readonly slots: Readonly<Record<Tier, string>>;
}

function slotsOf(at: Temporal.ZonedDateTime): Made['slots'] {
  const date = at.toPlainDate();
  return { daily: date.toString(), weekly: `${date.yearOfWeek}-${date.weekOfYear}`, monthly: date.toPlainYearMonth().toString() };
}

/** The newest backup of each of the last N slots that hold one. */
function promised(made: readonly Made[]): Set<string> {
  const ids = new Set<string>();
  for (const tier of ['daily', 'weekly', 'monthly'] as const) {
    const newest = new Map(made.map(({ id, slots }) => [slots[tier], id]));
    for (const id of [...newest.values()].slice(-TIERS[tier])) ids.add(id);
  }
  return ids;
}

it(`keeps every promise of the policy over ${DAYS} days of outages, failures and crashes (seed ${SEED})`, async () => {
  // Thousands of files are synced to it.
  const folder = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'jetbackup-year-'));
  try {
    const random = draws(SEED);
    const start = Temporal.ZonedDateTime.from(`2026-01-01T02:00[${ZONE}]`);
    const clock = simulatedClock(start.toInstant());
    const store = mortalStore(datedStore(createFilesystemStore({ directory: folder }), clock));
    let day = 0;
    let fails = false;
    let rows: readonly string[] = [];
    const installation = await openSmallInstallation({
      ...{ store, clock, policy: TIERS, timeZone: ZONE },
      rows() {
        if (fails) throw new JetbackupError('dump-failed', 'the disk of the database is full');
        return rows;
      },
    });
    const made: Made[] = [];
    const pinned = new Set<string>();
    const seen = { outages: 0, failures: 0, crashes: 0, crashedPrunes: 0, deleted: 0 };
    let newestFailed = false;

    const tryBackup = async () => {
      rows = Array.from({ length: 50 }, (_, index) => `${day}\t${index}\t${clock.now().toString()}\n`);
      fails = random.chance(0.05);
      if (!fails && random.chance(0.04)) store.dieAfter(random.whole(6) - 1);
      let died = false;
      let last: string | undefined;
      try {
        last = (await installation.backup()).id;
      } catch (error) {
        died = store.dead;
        if (!fails && !died) throw error;
        seen[died ? 'crashes' : 'failures'] += 1;
        // Whoever is killed leaves no record of it.
        if (!died) newestFailed = true;
      }
      store.revive();
      // One that was killed after its manifest arrived is there as well.
      if (died) last = (await installation.committed()).at(-1);
      if (last === undefined || made.some(({ id }) => id === last)) return;
      const at = Temporal.Instant.from(await installation.snapshotInstant(last)).toZonedDateTimeISO(ZONE);
      made.push({ id: last, rows, slots: slotsOf(at) });
      newestFailed = false;
    };

    /** Whether it came to its end with nothing in its way: then what is there is what is promised, and not more. */
    const tryPrune = async (): Promise<boolean> => {
      if (random.chance(0.1)) store.dieAfter(random.whole(8) - 1);
      try {
        const { databases } = await installation.prune();
        store.revive();
        seen.deleted += databases[0]?.deleted.length ?? 0;
        if (newestFailed) expect(databases[0]?.deleted).toEqual([]);
        return !newestFailed;
      } catch (error) {
        if (!store.dead) throw error;
        seen.crashedPrunes += 1;
        store.revive();
        return false;
      }
    };

    for (; day < DAYS; day += 1) {
      if (random.chance(0.015)) {
        seen.outages += 1;
        day += random.whole(21);
      }
      clock.setTo(start.add({ days: day }).toInstant());
      await tryBackup();
      if (random.chance(0.3)) {
        clock.setTo(clock.now().add({ hours: 9 }));
        await tryBackup();
      }
      const newest = made.at(-1);
      if (newest !== undefined && random.chance(0.02)) {
        await installation.mark(newest.id, { pin: { reason: 'before the migration' } });
        pinned.add(newest.id);
      }
      const [oldest] = pinned;
      if (oldest !== undefined && pinned.size > 3) {
        await installation.mark(oldest, { pin: null });
        pinned.delete(oldest);
      }
      let finished = false;
      if (random.chance(0.9)) {
        // Beyond the lease of a prune that was killed.
        clock.setTo(clock.now().add({ hours: 1 }));
        finished = await tryPrune();
      }
      const ids = new Set(await installation.committed());
      const expected = new Set([...promised(made), ...pinned]);
      for (const id of expected) expect(ids, `day ${day}: ${id} is gone`).toContain(id);
      if (finished) expect(ids, `day ${day}`).toEqual(expected);
    }

    // What is left opens, and holds what the database showed at that moment.
    for (const id of await installation.committed()) {
      const expected = smallArchive(made.find((each) => each.id === id)?.rows ?? []);
      expect(Buffer.from(await installation.dump(id)).equals(expected)).toBe(true);
    }
    // Three days later nothing is left of any crash.
    clock.setTo(clock.now().add({ hours: 72 }));
    fails = false;
    await installation.backup();
    await installation.prune();
    expect(await installation.strays()).toEqual([]);
    expect(seen.outages).toBeGreaterThan(0);
    for (const kind of ['failures', 'crashes', 'crashedPrunes'] as const) expect(seen[kind], kind).toBeGreaterThan(3);
    expect(seen.deleted).toBeGreaterThan(200);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}, 120_000);
