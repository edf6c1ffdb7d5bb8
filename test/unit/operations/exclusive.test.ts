import { expect, it } from 'vitest';
import { JetbackupError } from '../../../src/core/errors.ts';
import type { ProgressEvent } from '../../../src/core/progress.ts';
import { exclusively, jobLease } from '../../../src/operations/exclusive.ts';
import type { ObjectStore } from '../../../src/storage/store.ts';
import { createFakeTime } from '../../support/fake-time.ts';
import { createMemoryStore } from '../../support/memory-store.ts';

const never = new AbortController().signal;
const nightly = { operation: 'backup', database: 'shop' };

function repository() {
  const time = createFakeTime();
  const clock = time.host();
  const memory = createMemoryStore({ clock });
  const told: ProgressEvent[] = [];
  const depsOf = (host: string, store: ObjectStore = memory) => ({
    store,
    clock,
    host,
    log: (event: ProgressEvent) => void told.push(event),
  });
  return { time, clock, memory, told, depsOf };
}
const hang = () => new Promise<never>(() => {});

it('lets one of two do it, tells the other who is at it, and lets that one in when the first has ended', async () => {
  const { depsOf } = repository();
  const first = Promise.withResolvers<string>();
  const began = Promise.withResolvers<void>();
  const running = exclusively(depsOf('alpha'), nightly, never, () => {
    began.resolve();
    return first.promise;
  });
  await began.promise;
  await expect(exclusively(depsOf('beta'), nightly, never, hang)).rejects.toMatchObject({
    code: 'locked',
    message: expect.stringContaining('held by backup on alpha'),
  });
  first.resolve('made by alpha');
  expect(await running).toBe('made by alpha');
  expect(await exclusively(depsOf('beta'), nightly, never, async () => 'made by beta')).toBe('made by beta');
});

it('keeps apart neither different operations nor different databases', async () => {
  const { depsOf } = repository();
  void exclusively(depsOf('alpha'), nightly, never, hang);
  for (const other of [
    { operation: 'verify', database: 'shop' },
    { operation: 'backup', database: 'crm' },
    { operation: 'backup', database: null },
  ]) {
    expect(await exclusively(depsOf('beta'), other, never, async () => 'done')).toBe('done');
  }
});

it('lets the next one in after work that failed, whose error is thrown', async () => {
  const { depsOf } = repository();
  const broken = new JetbackupError('dump-failed', 'pg_dump failed');
  await expect(exclusively(depsOf('alpha'), nightly, never, () => Promise.reject(broken))).rejects.toBe(broken);
  expect(await exclusively(depsOf('beta'), nightly, never, async () => 'done')).toBe('done');
});

it.each([
  ['of one that died after two minutes and no sooner', undefined, 120],
  ['of a job that comes each minute, within that minute', 60_000, 20],
  ['of a job that comes each five minutes, within two of them', 300_000, 100],
])('takes over the work %s', async (_, periodMs, seconds) => {
  const { depsOf, time, clock } = repository();
  const job = periodMs === undefined ? nightly : { ...nightly, periodMs };
  const host = time.host();
  void exclusively({ ...depsOf('alpha'), clock: host }, job, never, hang);
  await time.advance(0);
  host.stop();
  const follow = () => exclusively({ ...depsOf('beta'), clock }, job, never, async () => 'done');
  await time.advance((seconds - 1) * 1000);
  await expect(follow()).rejects.toMatchObject({ code: 'locked' });
  await time.advance(2000);
  expect(await follow()).toBe('done');
});

it('is held for as long as the work takes', async () => {
  const { depsOf, time } = repository();
  void exclusively(depsOf('alpha'), { ...nightly, periodMs: 60_000 }, never, hang);
  await time.advance(0);
  await time.advance(10 * 60_000);
  await expect(exclusively(depsOf('beta'), nightly, never, hang)).rejects.toMatchObject({ code: 'locked' });
});

it('does the work all the same where these credentials may take no lease, and warns: better twice than never', async () => {
  const { depsOf, memory, told } = repository();
  const readOnly: ObjectStore = {
    ...memory,
    put: async () => {
      throw new JetbackupError('storage-denied', 'AccessDenied', { hint: 'Grant s3:PutObject.' });
    },
  };
  expect(await exclusively(depsOf('alpha', readOnly), nightly, never, async () => 'done')).toBe('done');
  expect(told).toEqual([
    {
      type: 'warning',
      text: expect.stringMatching(/^nothing keeps another backup of shop from running at the same time: .*AccessDenied/),
      hint: expect.stringContaining('A lease needs the right to list, read, write and delete below leases/.'),
    },
  ]);
});

it('does no work where the store cannot be reached', async () => {
  const { depsOf, memory } = repository();
  const away: ObjectStore = {
    ...memory,
    // biome-ignore lint/correctness/useYield: it fails before the first.
    async *list() {
      throw new JetbackupError('storage-unreachable', 'away');
    },
  };
  let done = false;
  const work = async () => {
    done = true;
  };
  await expect(exclusively(depsOf('alpha', away), nightly, never, work)).rejects.toMatchObject({ code: 'storage-unreachable' });
  expect(done).toBe(false);
});

it('names the lease after the job; long names of databases that share their beginning have leases of their own', () => {
  expect(jobLease('backup', 'shop')).toBe('backup-shop');
  expect(jobLease('prune', null)).toBe('prune');
  const long = 'x'.repeat(62);
  const [one, other] = [jobLease('backup', `${long}1`), jobLease('backup', `${long}2`)];
  expect(one).not.toBe(other);
  expect(one.length).toBeLessThanOrEqual(63);
  expect(one).toMatch(/^backup-[0-9a-f]{32}$/);
});

it('takes leases for databases of the longest names', async () => {
  const { depsOf, memory } = repository();
  expect(await exclusively(depsOf('alpha'), { operation: 'backup', database: 'x'.repeat(63) }, never, async () => 'done')).toBe('done');
  expect([...memory.objects.keys()]).toEqual([expect.stringMatching(/^leases\/backup-[0-9a-f]{32}\/00000001\.json$/)]);
});
