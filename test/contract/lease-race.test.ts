import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isJetbackupError } from '../../src/core/errors.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createFilesystemStore } from '../../src/storage/filesystem.ts';
import { acquireLease } from '../../src/storage/lease.ts';
import { createS3Store } from '../../src/storage/s3.ts';
import type { ObjectStore } from '../../src/storage/store.ts';
import { startS3Server } from '../support/s3-servers.ts';

const RUNS = 8;
const ROUNDS = 2;
const WORK_MS = 100;

interface Place {
  /** Another way into the same repository, as another process has it. */
  open(): ObjectStore;
  /** Whether `put` with `ifAbsent` has one winner there. */
  readonly conditionalPut: boolean;
  stop(): Promise<void>;
}

async function directory(): Promise<Place> {
  const root = await mkdtemp(join(tmpdir(), 'jetbackup-lease-'));
  return { open: () => createFilesystemStore({ directory: root }), conditionalPut: true, stop: () => rm(root, { recursive: true }) };
}

async function bucket(which: 'first' | 'second', kind: 'plain' | 'locked'): Promise<Place> {
  const server = await startS3Server(which);
  const { endpoint, region, credentials } = server;
  await server.createBucket('lease-race', { objectLock: kind === 'locked' });
  return {
    open: () => createS3Store({ bucket: 'lease-race', prefix: 'p', endpoint, region, credentials }, { clock: systemClock }),
    conditionalPut: server.features[kind].conditionalPut,
    stop: () => server.stop(),
  };
}

describe.each<[string, () => Promise<Place>]>([
  ['a directory', directory],
  ['the first S3 server', () => bucket('first', 'plain')],
  ['a versioned bucket of the first S3 server', () => bucket('first', 'locked')],
  ['the second S3 server', () => bucket('second', 'plain')],
])('a lease in %s', (_name, start) => {
  let place: Place;
  beforeAll(async () => {
    place = await start();
  });
  afterAll(async () => {
    await place?.stop();
  });

  it(`is held by one of ${RUNS} runs at a time, until each has had it ${ROUNDS} times`, async () => {
    let inside = 0;
    let most = 0;
    let refused = 0;
    // Every run would find out the same about the store, at a hundred requests each.
    const features = await place.open().probe();
    expect(features.conditionalPut).toBe(place.conditionalPut);

    const run = async (number: number): Promise<void> => {
      const store: ObjectStore = { ...place.open(), probe: async () => features };
      try {
        for (let round = 0; round < ROUNDS; ) {
          const request = { name: 'race', holder: `run ${number}, round ${round}`, ttlMs: 60_000 };
          try {
            await using lease = await acquireLease({ store, clock: systemClock }, request, AbortSignal.timeout(100_000));
            inside += 1;
            most = Math.max(most, inside);
            await systemClock.sleep(WORK_MS);
            await lease.assertHeld();
            inside -= 1;
            round += 1;
          } catch (error) {
            if (!isJetbackupError(error, 'locked')) throw error;
            refused += 1;
            await systemClock.sleep(50 + 25 * number);
          }
        }
      } finally {
        store.close();
      }
    };
    await Promise.all(Array.from({ length: RUNS }, (_, number) => run(number)));
    expect(most).toBe(1);
    expect(refused).toBeGreaterThan(0);

    const store = place.open();
    const left = (await Array.fromAsync(store.list('leases/'))).map(({ key }) => key);
    expect(left.at(-1)).toMatch(/^leases\/race\/000000\d\d\.json$/);
    store.close();
  });
});
