import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { Temporal } from 'temporal-polyfill';
import { beforeAll, describe, expect, test } from 'vitest';
import { bytesOf } from '../../../src/core/bytes.ts';
import type { PrunedDatabase } from '../../../src/operations/prune.ts';
import { whileReading } from '../../../src/operations/reading.ts';
import { type Actor, type GatedCall, startActor } from '../../support/gated-store.ts';
import { createMemoryStore } from '../../support/memory-store.ts';
import { simulatedClock } from '../../support/simulated-time.ts';
import { DATABASE, openSmallInstallation } from '../../support/small-installation.ts';

const never = new AbortController().signal;
const clock = simulatedClock(Temporal.Instant.from('2026-10-01T02:00:00Z'));
const memory = createMemoryStore({ clock });
let small: Awaited<ReturnType<typeof openSmallInstallation>>;
let goes = '';
let stays = '';
let before: Map<string, Uint8Array>;

/** Two backups, the first of which the policy lets go. */
beforeAll(async () => {
  small = await openSmallInstallation({ store: memory, clock, policy: { daily: 1 }, rows: () => ['a row\n'] });
  goes = (await small.backup()).id;
  clock.setTo(clock.now().add({ hours: 24 }));
  stays = (await small.backup()).id;
  clock.setTo(clock.now().add({ hours: 1 }));
  before = new Map(memory.objects);
});

/** The calls by which the two see each other, or one takes away what the other reads. */
const counts = (call: GatedCall, key: string): boolean =>
  /^(?:readers\/|deleting\.json)/.test(key) || (key === `${DATABASE}/${goes}/manifest.json` && (call === 'stat' || call === 'delete'));

const isWhole = () => [...before.keys()].filter((key) => key.startsWith(`${DATABASE}/${goes}/`)).every((key) => memory.objects.has(key));

type Outcome = 'read' | 'refused';

function reader(): Actor<Outcome> {
  return startActor(async (gate) => {
    const reading = { database: DATABASE, id: goes, holder: 'restore on db1' };
    const deps = { store: gate.over(memory, counts), clock, log: () => {} };
    try {
      return await whileReading(deps, reading, never, async (signal) => {
        expect(isWhole(), 'at the beginning').toBe(true);
        await gate.stop('read', signal);
        expect(isWhole(), 'at the end').toBe(true);
        return 'read' as const;
      });
    } catch (error) {
      expect(error).toMatchObject({ code: 'no-backup' });
      return 'refused';
    }
  });
}

const pruner = (): Actor<PrunedDatabase | undefined> =>
  startActor(async (gate) => (await small.prune({}, gate.over(memory, counts))).databases[0]);

/**
 * Every order of the calls of these actors, each once: `visit` sees the end of each. A schedule names who goes at each fork;
 * where it ends the first goes, and the last fork at which another could have gone makes the next schedule.
 */
async function everyOrder(start: () => readonly Actor<unknown>[], visit: (order: readonly string[]) => Promise<void>): Promise<number> {
  let schedule: number[] = [];
  for (let orders = 1; ; orders += 1) {
    memory.objects.clear();
    for (const [key, bytes] of before) memory.objects.set(key, bytes);
    const actors = start();
    const forks: { chosen: number; of: number }[] = [];
    const order: string[] = [];
    for (;;) {
      const standing: { actor: Actor<unknown>; name: string; who: number }[] = [];
      for (const [who, actor] of actors.entries()) {
        const name = await actor.next();
        if (name !== undefined) standing.push({ actor, name, who });
      }
      if (standing.length === 0) break;
      const chosen = schedule[forks.length] ?? 0;
      forks.push({ chosen, of: standing.length });
      const { actor, name, who } = standing[chosen] ?? expect.fail('no such actor');
      order.push(`${who}: ${name}`);
      actor.step();
    }
    await visit(order);
    const last = forks.findLastIndex((fork) => fork.chosen + 1 < fork.of);
    if (last < 0) return orders;
    schedule = [...forks.slice(0, last).map((fork) => fork.chosen), (forks[last]?.chosen ?? 0) + 1];
  }
}

describe('a prune and a reader, in every order in which their requests can reach the store', () => {
  test('never lose a backup that the reader was let into, and never wait for each other', async () => {
    const seen = new Map<string, number>();
    let actors: { pruning: Actor<PrunedDatabase | undefined>; reading: Actor<Outcome> };
    const orders = await everyOrder(
      () => {
        actors = { pruning: pruner(), reading: reader() };
        return [actors.pruning, actors.reading];
      },
      async (order) => {
        const pruned = await actors.pruning.result;
        const outcome = await actors.reading.result.catch((error: unknown) => expect.fail(`${String(error)}:\n${order.join('\n')}`));
        const deleted = pruned?.deleted.some(({ id }) => id === goes) ?? false;
        const spared = pruned?.inUse.some(({ id }) => id === goes) ?? false;
        expect(spared, order.join('\n')).toBe(!deleted);
        expect(isWhole()).toBe(!deleted);
        expect(await small.committed()).toEqual(deleted ? [stays] : [goes, stays]);
        expect([...memory.objects.keys()].filter((key) => /^(?:readers|deleting)/.test(key))).toEqual([]);
        const end = `${outcome}, ${deleted ? 'deleted' : 'spared'}`;
        seen.set(end, (seen.get(end) ?? 0) + 1);
      },
    );
    expect(orders).toBeGreaterThan(200);
    // Each of the two may win, also the reader that has read before the prune looks, and both may stand back.
    expect([...seen.keys()].sort()).toEqual(['read, deleted', 'read, spared', 'refused, deleted', 'refused, spared']);
  }, 30_000);
});

interface Turn {
  /** Of two prunes and three readers. */
  readonly who: number;
  /** That pass first. */
  readonly minutes: number;
  /** Requests of it. */
  readonly steps: number;
  /** From then on it does nothing any more; another one of its kind begins at its next turn. */
  readonly dies: boolean;
}

const turns = fc.array(
  fc.record<Turn>({
    who: fc.nat(4),
    minutes: fc.oneof(
      { weight: 12, arbitrary: fc.constant(0) },
      { weight: 6, arbitrary: fc.integer({ min: 1, max: 3 }) },
      { weight: 1, arbitrary: fc.constantFrom(5, 15, 25, 45, 61) },
    ),
    steps: fc.integer({ min: 1, max: 9 }),
    dies: fc.nat(30).map((n) => n === 0),
  }),
  { minLength: 30, maxLength: 120, size: 'max' },
);

describe('drawn at random, hours of prunes and readers that stand still, are slow, and are killed', () => {
  const start = Temporal.Instant.from('2026-11-01T02:00:00Z');
  const seen = { deleted: 0, read: 0, refused: 0, lost: 0 };

  /** What a reader may rely on, as its requests show: a note that was looked at after it was put, and puts of it since. */
  interface Belief {
    readonly id: string;
    put: { readonly key: string; readonly at: number } | undefined;
    note: { readonly key: string; readonly at: number } | undefined;
    works: boolean;
  }

  let installation: Awaited<ReturnType<typeof openSmallInstallation>>;
  let made: Map<string, Uint8Array>;
  let ids: string[];
  beforeAll(async () => {
    const time = simulatedClock(start.subtract({ hours: 24 * 4 }));
    const store = createMemoryStore({ clock: time });
    installation = await openSmallInstallation({ store, clock: time, policy: { daily: 1 }, rows: () => ['a row\n'] });
    ids = [];
    for (let day = 0; day < 4; day += 1) {
      ids.push((await installation.backup()).id);
      time.setTo(time.now().add({ hours: 24 }));
    }
    made = store.objects;
  });

  async function play(schedule: readonly Turn[]): Promise<void> {
    const time = simulatedClock(start);
    const objects = createMemoryStore({ clock: time });
    for (const [key, bytes] of made) await objects.put(key, bytesOf(bytes));
    const beliefs: Belief[] = [];
    const now = () => time.now().epochMilliseconds;
    const all = (call: GatedCall, key: string) => call !== 'list' && key.startsWith(`${DATABASE}/`);
    const ours = (call: GatedCall, key: string) => /^(?:readers\/|deleting\.json)/.test(key) || all(call, key);

    const pruning = () =>
      startActor(async (gate) => {
        const watched = {
          ...objects,
          async delete(key: string, signal?: AbortSignal) {
            const id = /^[^/]+\/([^/]+)\/manifest\.json$/.exec(key)?.[1];
            for (const belief of beliefs) {
              const holds = belief.works && belief.id === id && belief.note !== undefined && now() - belief.note.at < 0.9 * 60 * 60_000;
              if (holds) throw new Error(`${id} is deleted under a reader that relies on its note`);
            }
            if (id !== undefined) seen.deleted += 1;
            await objects.delete(key, signal);
          },
        };
        await installation.prune({}, gate.over(watched, ours), time).catch((error: unknown) => {
          expect(error).toMatchObject({ code: expect.stringMatching(/^(?:locked|storage-unreachable)$/) });
        });
      });
    const reading = (id: string) =>
      startActor(async (gate) => {
        const belief: Belief = { id, put: undefined, note: undefined, works: false };
        beliefs.push(belief);
        const watched = {
          ...objects,
          async put(...args: Parameters<typeof objects.put>) {
            const info = await objects.put(...args);
            belief.put = { key: args[0], at: now() };
            if (belief.note?.key === args[0]) belief.note = belief.put;
            return info;
          },
          async stat(key: string, signal?: AbortSignal) {
            const info = await objects.stat(key, signal);
            if (key.endsWith('/manifest.json') && info !== undefined) belief.note = belief.put;
            return info;
          },
        };
        const deps = { store: gate.over(watched, ours), clock: time, log: () => {} };
        try {
          await whileReading(deps, { database: DATABASE, id, holder: 'a reader' }, never, async (signal) => {
            belief.works = true;
            try {
              for (let portion = 0; portion < 6; portion += 1) await gate.stop('read', signal);
              seen.read += 1;
            } finally {
              belief.works = false;
            }
          });
        } catch (error) {
          expect(error).toMatchObject({ code: 'no-backup' });
          seen[belief.note === undefined ? 'refused' : 'lost'] += 1;
        }
      });

    const begin = [pruning, pruning, () => reading(ids[0] ?? ''), () => reading(ids[0] ?? ''), () => reading(ids[1] ?? '')];
    const actors: (Actor<void> | undefined)[] = begin.map(() => undefined);
    const broken: unknown[] = [];
    for (const { who, minutes, steps, dies } of schedule) {
      if (minutes > 0) {
        time.setTo(time.now().add({ minutes }));
        // Renewals that were due, of leases and of notes.
        for (let round = 0; round < 3; round += 1) await setImmediate();
      }
      const actor = actors[who] ?? begin[who]?.() ?? expect.fail('no such actor');
      actors[who] = dies ? undefined : actor;
      actor.result.catch((error: unknown) => broken.push(error));
      for (let step = 0; step < steps; step += 1) {
        if ((await actor.next()) === undefined) actors[who] = undefined;
        actor.step();
        await setImmediate();
      }
      expect(broken).toEqual([]);
    }
  }

  test('delete no backup under a reader that may rely on its note', async () => {
    await fc.assert(fc.asyncProperty(turns, play), { numRuns: 25 });
    for (const count of [seen.deleted, seen.read, seen.refused]) expect(count).toBeGreaterThan(0);
  }, 60_000);
});
