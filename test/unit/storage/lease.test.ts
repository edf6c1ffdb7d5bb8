import { beforeEach, describe, expect, it } from 'vitest';
import { bytesOf } from '../../../src/core/bytes.ts';
import { acquireLease, type Lease } from '../../../src/storage/lease.ts';
import type { ObjectStore } from '../../../src/storage/store.ts';
import { createCarelessStore } from '../../support/careless-store.ts';
import { createFakeTime, type FakeHost, type FakeTime } from '../../support/fake-time.ts';
import { createFaultyStore } from '../../support/faulty-store.ts';
import { createMemoryStore, type MemoryStore } from '../../support/memory-store.ts';

const TTL = 60_000;
const signal = new AbortController().signal;
const locked = (message: RegExp) => expect.objectContaining({ code: 'locked', message: expect.stringMatching(message) });

describe('a lease', () => {
  let time: FakeTime;
  let memory: MemoryStore;
  beforeEach(() => {
    time = createFakeTime();
    memory = createMemoryStore({ clock: time.host() });
  });

  const take = (clock: FakeHost, holder = 'host1, process 7, prune', store: ObjectStore = memory) =>
    acquireLease({ store, clock }, { name: 'prune', holder, ttlMs: TTL }, signal);
  const keys = () => [...memory.objects.keys()].sort();
  const first = 'leases/prune/00000001.json';
  const second = 'leases/prune/00000002.json';

  /** Lets time pass until something is settled. */
  async function passing<T>(work: Promise<T>, ms: number): Promise<T> {
    const settled = work.then(
      (value) => () => value,
      (error: unknown) => () => {
        throw error;
      },
    );
    await time.advance(ms);
    return (await settled)();
  }

  describe('is held by one run', () => {
    it('and everybody else is told who, since when and until when, and what to do', async () => {
      await using lease = await take(time.host());
      expect(lease.storeNow).toEqual(time.now());
      await lease.assertHeld();
      await time.advance(1000);
      await expect(take(time.host(), 'host2')).rejects.toMatchObject({
        code: 'locked',
        message:
          'the lease "prune" in memory: is held by host1, process 7, prune since 2026-11-25T02:00:00.000Z, until 2026-11-25T02:01:00.000Z unless it is renewed',
        hint: expect.stringMatching(/gives way by itself at 2026-11-25T02:02:00Z\. Remove leases\/prune\/00000001\.json only when/),
      });
    });

    it('among sixteen that take it at once', async () => {
      const outcomes = await Promise.allSettled(Array.from({ length: 16 }, (_, racer) => take(time.host(), `racer ${racer}`)));
      const winners = outcomes.flatMap((outcome, racer) => (outcome.status === 'fulfilled' ? [racer] : []));
      expect(winners).toHaveLength(1);
      for (const outcome of outcomes)
        if (outcome.status === 'rejected') expect(outcome.reason).toEqual(locked(new RegExp(`by racer ${winners[0]} since`)));
      expect(keys()).toEqual([first]);
    });

    it('among sixteen, also where the store lets all of them win', async () => {
      const careless = createCarelessStore(memory, time.host(), () => 100);
      const racing = Promise.allSettled(Array.from({ length: 16 }, (_, racer) => take(time.host(), `racer ${racer}`, careless)));
      const outcomes = await passing(racing, 5000);
      const leases = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
      expect(leases).toHaveLength(1);
      await leases[0]?.assertHeld();
      for (const outcome of outcomes) if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'locked' });
    });

    it('and two of different names do not meet', async () => {
      await using one = await take(time.host());
      const request = { name: 'prune2', holder: 'other', ttlMs: TTL };
      await using other = await acquireLease({ store: memory, clock: time.host() }, request, signal);
      await one.assertHeld();
      await other.assertHeld();
    });

    it('for hours, in one object, and a second one keeps being refused', async () => {
      await using lease = await take(time.host());
      for (let minute = 0; minute < 240; minute += 1) {
        await time.advance(60_000);
        await lease.assertHeld();
        await expect(take(time.host())).rejects.toEqual(locked(/is held by host1/));
      }
      expect(keys()).toEqual([first]);
    });
  });

  describe('that is released', () => {
    it('lets the next one in at once, which tidies away the old number', async () => {
      const lease = await take(time.host());
      await lease[Symbol.asyncDispose]();
      await using next = await take(time.host());
      await next.assertHeld();
      expect(keys()).toEqual([second]);
      await expect(lease.assertHeld()).rejects.toEqual(locked(/released/));
    });

    it('leaves nothing of runs that were killed, and nothing else goes', async () => {
      const lease = await take(time.host());
      await lease[Symbol.asyncDispose]();
      for (const name of [`clock-${'0'.repeat(32)}.json`, 'README', '1.json', '00000001.json.bak']) {
        await memory.put(`leases/prune/${name}`, bytesOf('x'));
      }
      await using next = await take(time.host());
      await next.assertHeld();
      expect(keys()).toEqual(['leases/prune/00000001.json.bak', second, 'leases/prune/1.json', 'leases/prune/README']);
    });

    it('is released once, and renewed no more', async () => {
      const lease = await take(time.host());
      await lease[Symbol.asyncDispose]();
      const [released] = [...memory.objects.values()];
      await lease[Symbol.asyncDispose]();
      await time.advance(10 * TTL);
      expect([...memory.objects.values()]).toEqual([released]);
    });

    it('does not wait for a store that answers no more', async () => {
      const store = createFaultyStore(memory);
      const lease = await take(time.host(), 'host1', store);
      store.add({ on: 'put', fault: 'hang' });
      let done = false;
      const release = async () => {
        await lease[Symbol.asyncDispose]();
        done = true;
      };
      const releasing = release();
      await time.advance(9_000);
      expect(done).toBe(false);
      await time.advance(2_000);
      await releasing;
    });

    it('while a renewal is on its way, stays released', async () => {
      const host = time.host();
      let hold: Promise<void> | undefined;
      const slow: ObjectStore = {
        ...memory,
        async put(key, body, options) {
          const held = hold;
          hold = undefined;
          await held;
          return memory.put(key, body, options);
        },
      };
      const lease = await take(host, 'host1', slow);
      hold = time.host().sleep(TTL / 3 + 5_000);
      await time.advance(TTL / 3 + 1_000);
      await passing(Promise.resolve(lease[Symbol.asyncDispose]()), 10_000);
      await using next = await take(time.host());
      await next.assertHeld();
    });

    it('after an abort that came too late to stop the taking', async () => {
      const stop = new AbortController();
      const reason = new Error('Ctrl-C');
      const store: ObjectStore = {
        ...memory,
        async put(key, body, options) {
          const info = await memory.put(key, body, options);
          if (!stop.signal.aborted) stop.abort(reason);
          return info;
        },
      };
      const request = { name: 'prune', holder: 'hasty', ttlMs: TTL };
      await expect(acquireLease({ store, clock: time.host() }, request, stop.signal)).rejects.toBe(reason);
      await using next = await take(time.host());
      await next.assertHeld();
    });
  });

  describe('whose holder died', () => {
    it('is taken over two ttl after its last sign of life, and not before', async () => {
      const dead = time.host();
      await take(dead);
      await time.advance(TTL);
      dead.stop();
      await time.advance(2 * TTL - 1000);
      await expect(take(time.host())).rejects.toEqual(locked(/is held by host1/));
      await time.advance(1000);
      await using lease = await take(time.host());
      await lease.assertHeld();
      expect(keys()).toEqual([second]);
    });

    it.each([{ hours: 5 }, { hours: -5 }, { days: 1000 }])('is not stolen while alive by one whose clock is off by %o', async (ahead) => {
      await using lease = await take(time.host());
      const off = time.host({ ahead });
      for (let step = 0; step < 20; step += 1) {
        await time.advance(TTL / 4);
        await expect(take(off)).rejects.toEqual(locked(/is held by host1/));
        await lease.assertHeld();
      }
      // What the wrong clock made it ask the store for is gone again.
      expect(keys()).toEqual([first]);
    });

    it.each([{ hours: 5 }, { days: -1000 }])('is kept while alive also when its holder’s clock is off by %o', async (ahead) => {
      await using lease = await take(time.host({ ahead }));
      for (let step = 0; step < 20; step += 1) {
        await time.advance(TTL / 4);
        await expect(take(time.host())).rejects.toMatchObject({ code: 'locked' });
        await lease.assertHeld();
      }
    });

    it('gives way later where its clock was hours ahead: what it wrote has to run out as well', async () => {
      const dead = time.host({ ahead: { hours: 5 } });
      await take(dead);
      dead.stop();
      await time.advance(10 * TTL);
      await expect(take(time.host())).rejects.toEqual(locked(/is held by host1/));
      await time.advance(5 * 3_600_000);
      await using lease = await take(time.host());
      await lease.assertHeld();
    });

    it('is not taken over by one that was held up between the time and the date', async () => {
      await using lease = await take(time.host({ ahead: { hours: -5 } }));
      const heldUp: ObjectStore = {
        ...memory,
        async put(key, body, options) {
          if (key.includes('/clock-')) await time.advance(3 * TTL);
          return memory.put(key, body, options);
        },
      };
      await expect(take(time.host(), 'host2', heldUp)).rejects.toEqual(locked(/is held by host1/));
      await time.advance(TTL);
      await lease.assertHeld();
    });

    it('counts as alive for two ttl where its content cannot be read', async () => {
      for (const content of ['', '{"released": true}', '{', 'x'.repeat(20_000)]) {
        memory.objects.clear();
        await memory.put('leases/prune/00000041.json', bytesOf(content));
        await time.advance(2 * TTL - 1000);
        await expect(take(time.host())).rejects.toEqual(locked(/leases\/prune\/00000041\.json cannot be read as a lease/));
        await time.advance(1000);
        const lease = await take(time.host());
        expect(keys()).toEqual(['leases/prune/00000042.json']);
        await lease[Symbol.asyncDispose]();
      }
    });
  });

  describe('whose holder stood still', () => {
    it('is lost to it once another has taken over, and it disturbs that one no more', async () => {
      const host = time.host();
      const stalled = await take(host);
      host.stop();
      await time.advance(3 * TTL);
      await using other = await take(time.host(), 'host2');
      host.resume();
      await expect(stalled.assertHeld()).rejects.toEqual(locked(/no longer held by this run/));
      await stalled[Symbol.asyncDispose]();
      await time.advance(3 * TTL);
      await other.assertHeld();
      expect(keys()).toEqual([second]);
    });

    it('has run out also when nobody has taken over', async () => {
      const host = time.host();
      const stalled = await take(host);
      host.stop();
      await time.advance(0.95 * TTL);
      host.resume();
      await expect(stalled.assertHeld()).rejects.toEqual(locked(/ran out/));
    });

    it('is lost to a machine that slept, so that its monotonic clock knows nothing', async () => {
      const host = time.host();
      const slept = await take(host);
      host.suspend();
      await time.advance(3 * TTL);
      await using other = await take(time.host(), 'host2');
      host.resume();
      await expect(slept.assertHeld()).rejects.toEqual(locked(/another run took it over/));
      await other.assertHeld();
    });

    it('is still its own after a short sleep of the machine, and after a jump of its wall clock', async () => {
      const host = time.host();
      await using lease = await take(host);
      host.suspend();
      await time.advance(1.5 * TTL);
      host.resume();
      await lease.assertHeld();
      host.jump({ hours: 3 });
      await lease.assertHeld();
      host.jump({ hours: -6 });
      await lease.assertHeld();
      await expect(take(time.host())).rejects.toMatchObject({ code: 'locked' });
    });

    it('and that comes back while another takes over, makes that one back out', async () => {
      const host = time.host();
      const slept = await take(host);
      host.suspend();
      await time.advance(3 * TTL);
      const meanwhile: ObjectStore = {
        ...memory,
        async put(key, body, options) {
          if (key === second) {
            host.resume();
            await slept.assertHeld();
          }
          return memory.put(key, body, options);
        },
      };
      await expect(take(time.host(), 'host2', meanwhile)).rejects.toEqual(locked(/seemed dead, came back/));
      // Nobody else comes in before the one that came back has noticed.
      await expect(take(time.host(), 'host3')).rejects.toMatchObject({ code: 'locked' });
      await time.advance(TTL / 2);
      await expect(slept.assertHeld()).rejects.toEqual(locked(/another run took it over/));
      await time.advance(2 * TTL);
      await using next = await take(time.host(), 'host3');
      await next.assertHeld();
    });

    it('and that comes back just after another took over, has lost it before it is asserted', async () => {
      const host = time.host();
      let takeOver: (() => Promise<void>) | undefined;
      let other: Lease | undefined;
      const store: ObjectStore = {
        ...memory,
        async put(key, body, options) {
          await takeOver?.();
          return memory.put(key, body, options);
        },
      };
      const slept = await take(host, 'host1', store);
      host.suspend();
      await time.advance(3 * TTL);
      host.resume();
      // After its look and before its put.
      takeOver = async () => {
        other = await take(time.host(), 'host2');
      };
      await expect(slept.assertHeld()).rejects.toEqual(locked(/another run took it over/));
      await other?.assertHeld();
      await other?.[Symbol.asyncDispose]();
    });

    it('by a sleep in the middle of a renewal, is not asserted by what the store said before', async () => {
      const host = time.host();
      let looks = Number.NEGATIVE_INFINITY;
      let other: Lease | undefined;
      const store: ObjectStore = {
        ...memory,
        async stat(key) {
          const found = await memory.stat(key);
          looks += 1;
          if (looks === 2) {
            host.suspend();
            await time.advance(3 * TTL);
            other = await take(time.host(), 'host2');
            host.resume();
          }
          return found;
        },
      };
      const slept = await take(host, 'host1', store);
      host.suspend();
      await time.advance(TTL);
      host.resume();
      looks = 0;
      await expect(slept.assertHeld()).rejects.toEqual(locked(/another run took it over/));
      await other?.assertHeld();
      await other?.[Symbol.asyncDispose]();
    });

    it('before its put, takes nothing below a number that came meanwhile', async () => {
      const before = await take(time.host());
      await before[Symbol.asyncDispose]();
      let holder: Lease | undefined;
      const store: ObjectStore = {
        ...memory,
        async put(key, body, options) {
          if (key === second && holder === undefined) {
            const between = await take(time.host(), 'host2');
            await between[Symbol.asyncDispose]();
            holder = await take(time.host(), 'host3');
          }
          return memory.put(key, body, options);
        },
      };
      await expect(take(time.host(), 'held up', store)).rejects.toEqual(locked(/is held by host3/));
      await holder?.assertHeld();
      await holder?.[Symbol.asyncDispose]();
    });

    it('is lost to it when a person removed its object', async () => {
      await using lease = await take(time.host());
      memory.objects.clear();
      await time.advance(TTL / 2);
      await expect(lease.assertHeld()).rejects.toEqual(locked(/00000001\.json was removed/));
      await time.advance(TTL);
      expect(keys()).toEqual([]);
    });
  });

  describe('over a store that fails', () => {
    it('outlives failed renewals as long as its ttl is not over', async () => {
      const store = createFaultyStore(memory);
      await using lease = await take(time.host(), 'host1', store);
      for (const fault of ['storage-unreachable', 'fail-after-commit', 'storage-full'] as const) {
        store.add({ on: 'put', fault });
        await time.advance(0.5 * TTL);
        await lease.assertHeld();
        store.heal();
        await time.advance(TTL);
        await lease.assertHeld();
      }
    });

    it('waits for a store that hangs no longer than until it has run out, or until the caller gives up', async () => {
      const store = createFaultyStore(memory);
      await using lease = await take(time.host(), 'host1', store);
      store.add({ on: 'put', fault: 'hang' });
      await time.advance(0.6 * TTL);
      const reason = new Error('Ctrl-C');
      const stop = new AbortController();
      const given = lease.assertHeld(stop.signal);
      stop.abort(reason);
      await expect(given).rejects.toBe(reason);
      await expect(passing(lease.assertHeld(), 0.4 * TTL)).rejects.toMatchObject({
        code: 'locked',
        cause: { code: 'storage-unreachable' },
      });
    });

    it.each(['put', 'list', 'get', 'stat'] as const)('is lost when no %s succeeds until it has run out, and says why', async (on) => {
      const store = createFaultyStore(memory);
      await using lease = await take(time.host(), 'host1', store);
      await time.advance(TTL);
      store.add({ on, fault: 'storage-unreachable' });
      await time.advance(0.5 * TTL);
      await lease.assertHeld();
      await time.advance(0.5 * TTL);
      await expect(lease.assertHeld()).rejects.toMatchObject({ code: 'locked', cause: { code: 'storage-unreachable' } });
      store.heal();
      await time.advance(TTL);
      await expect(lease.assertHeld()).rejects.toMatchObject({ code: 'locked' });
    });

    it('is not asserted by a machine that slept and cannot ask', async () => {
      const store = createFaultyStore(memory);
      const host = time.host();
      await using lease = await take(host, 'host1', store);
      host.suspend();
      await time.advance(3 * TTL);
      host.resume();
      store.add({ on: 'list', fault: 'storage-unreachable' });
      await expect(lease.assertHeld()).rejects.toEqual(locked(/cannot be asked/));
    });

    it.each(['list', 'get', 'put'] as const)('says what rights it needs where it may not %s', async (on) => {
      const before = await take(time.host());
      await before[Symbol.asyncDispose]();
      const store = createFaultyStore(memory, { on, fault: 'storage-denied' });
      await expect(take(time.host(), 'host1', store)).rejects.toMatchObject({
        code: 'storage-denied',
        message: expect.stringMatching(/^cannot take the lease "prune": /),
        hint: 'A lease needs the right to list, read, write and delete below leases/.',
      });
    });

    it('says so where it may not delete, and holds nothing then', async () => {
      const before = await take(time.host());
      await before[Symbol.asyncDispose]();
      const store = createFaultyStore(memory, { on: 'delete', fault: 'storage-denied' });
      await expect(take(time.host(), 'host1', store)).rejects.toMatchObject({
        code: 'storage-denied',
        hint: expect.stringMatching(/delete below/),
      });
      await using next = await take(time.host());
      await next.assertHeld();
    });

    it('takes it also where tidying up fails for another reason', async () => {
      const before = await take(time.host());
      await before[Symbol.asyncDispose]();
      const store = createFaultyStore(memory, { on: 'delete', fault: 'storage-unreachable' });
      await using lease = await take(time.host(), 'host1', store);
      await lease.assertHeld();
      expect(keys()).toEqual([first, second]);
    });
  });

  it('shows no control characters of a holder', async () => {
    await using lease = await take(time.host(), 'host\u001b[2J1');
    await lease.assertHeld();
    await expect(take(time.host())).rejects.toEqual(locked(/is held by host\?\[2J1 since/));
  });

  it.each([
    { name: '../runs', ttlMs: TTL },
    { name: '', ttlMs: TTL },
    { name: 'prune', ttlMs: 9_999 },
    { name: 'prune', ttlMs: 20_000.5 },
  ])('is refused as a mistake of the caller: %o', async (request) => {
    const taking = acquireLease({ store: memory, clock: time.host() }, { ...request, holder: 'x' }, signal);
    await expect(taking).rejects.toBeInstanceOf(RangeError);
  });
});
