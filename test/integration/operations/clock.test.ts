import type { Temporal } from 'temporal-polyfill';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { sha256Hex } from '../../../src/core/bytes.ts';
import { type Clock, systemClock } from '../../../src/platform/clock.ts';
import { createSample } from '../../support/installation.ts';
import { createMemoryStore, type MemoryStore } from '../../support/memory-store.ts';
import { type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { leftOn, openWorkshop, type Workshop } from './operations.ts';

const DATABASE = 'source';
let server: PostgresServer;
let workshop: Workshop;
let store: MemoryStore;

beforeAll(async () => {
  server = await startPostgres(15);
  await createSample(server, DATABASE, 1);
  workshop = await openWorkshop(server, DATABASE);
  store = createMemoryStore({ clock: systemClock });
  await workshop.init(store);
});
afterAll(async () => {
  await workshop?.[Symbol.asyncDispose]();
  await server?.stop();
});

const shifted = (by: Temporal.DurationLike): Clock => ({ ...systemClock, now: () => systemClock.now().add(by) });

it.each([
  ['an hour', { hours: 1 }, { hours: -1 }],
  ['three days', { hours: 72 }, { hours: -72 }],
])(
  'after the host’s clock was turned back by twice %s, the last backup is still the latest and names the one before it',
  async (_, ahead, behind) => {
    const ids: string[] = [];
    for (const [n, clock] of [shifted(ahead), shifted(behind), shifted(behind)].entries()) {
      await server.query(`INSERT INTO account VALUES (${1000 + store.objects.size}, 'number ${n}')`, DATABASE);
      const { manifest } = await workshop.backup(store, { clock });
      const before = ids.at(-1);
      if (before !== undefined) {
        const stored = store.objects.get(`${DATABASE}/${before}/manifest.json`) ?? '';
        expect(manifest.previous).toEqual({ id: before, manifestSha256: sha256Hex(stored) });
        expect(manifest.id > before).toBe(true);
      }
      ids.push(manifest.id);
      const restored = await workshop.restore(store);
      expect(restored.manifest.id).toBe(manifest.id);
      expect(await server.query('SELECT max(id) FROM account', 'restored')).toEqual(
        await server.query('SELECT max(id) FROM account', DATABASE),
      );
      await server.query('DROP DATABASE restored');
    }
    expect(workshop.log).toContainEqual(
      expect.objectContaining({
        type: 'warning',
        text: expect.stringContaining('in the future'),
        hint: expect.stringContaining('timedatectl'),
      }),
    );
    // By an instant, the server's clock decides, which was never wrong.
    const instant = systemClock.now();
    const asOf = await workshop.restore(store, { moment: { kind: 'at-or-before', instant, text: instant.toString() } });
    expect(asOf.manifest.id).toBe(ids.at(-1));
    await server.query('DROP DATABASE restored');
    expect(await leftOn(server)).toEqual([]);
  },
);
