import { beforeEach, describe, expect, it } from 'vitest';
import type { Facts } from '../../../src/alerts/facts.ts';
import { ALERT_STATE_KEY } from '../../../src/catalog/layout.ts';
import type { RoundResult } from '../../../src/operations/alert-rounds.ts';
import { type Daemon, putRepository, REPOSITORY, sharedReceiver, startDaemon } from '../../support/alert-service.ts';
import { createFakeTime, type FakeTime } from '../../support/fake-time.ts';
import { createFaultyStore, type FaultyStore } from '../../support/faulty-store.ts';
import { createMemoryStore, type MemoryStore } from '../../support/memory-store.ts';
import { healthy, later, NOW, raising } from '../alerts/facts.ts';

const MINUTE = 60_000;
const [, bad] = raising['verification-failed'];
const [, full] = raising['storage-nearly-full'];

let time: FakeTime;
let memory: MemoryStore;
let receiver: ReturnType<typeof sharedReceiver>;
beforeEach(async () => {
  time = createFakeTime(NOW.toString());
  memory = createMemoryStore({ clock: time.host() });
  receiver = sharedReceiver();
  await putRepository(memory);
});

const start = (name: string, store: FaultyStore = createFaultyStore(memory), host = time.host()) => {
  const daemon = startDaemon(time, name, { store, channel: receiver.channelFor(name), host });
  return { ...daemon, store };
};

/** Facts that are now as old as they were at the beginning. */
const now = (facts: Facts) => later(facts, time.now().epochMilliseconds - NOW.epochMilliseconds);

/** Nothing that the repository would tell. */
const away: Facts = {
  now: NOW,
  databases: healthy().databases.map(({ name, objectives, schedule }) => ({ name, objectives, schedule })),
};

/** A round of each each minute; the last results. */
async function minutes(count: number, facts: Facts, ...daemons: readonly Daemon[]): Promise<RoundResult[]> {
  return await rounds(count, MINUTE, facts, ...daemons);
}

async function rounds(count: number, everyMs: number, facts: Facts, ...daemons: readonly Daemon[]): Promise<RoundResult[]> {
  let results: RoundResult[] = [];
  for (let minute = 0; minute < count; minute += 1) {
    results = [];
    for (const daemon of daemons) results.push(await settled(daemon.round(now(facts))));
    await time.advance(everyMs);
  }
  return results;
}

/** Lets no more time pass than the work itself waits for. */
async function settled<T>(work: Promise<T>): Promise<T> {
  let done = false;
  const end = () => {
    done = true;
  };
  work.then(end, end);
  for (let turn = 0; turn < 400 && !done; turn += 1) await time.advance(turn < 20 ? 0 : 1000);
  return await work;
}

const roles = (results: readonly RoundResult[]) => results.map(({ role }) => role);
const outage = (...stores: readonly FaultyStore[]) => {
  for (const store of stores)
    for (const on of ['get', 'put', 'stat', 'list', 'delete'] as const) store.add({ on, fault: 'storage-unreachable' });
};

describe('of several services', () => {
  it('one tells, once, and the end once', async () => {
    const [one, two] = [start('db1'), start('db2')];
    expect(roles(await minutes(30, bad, one, two))).toEqual(['teller', 'listener']);
    expect(receiver.news()).toEqual(['db1 trigger verification-failed/shop']);
    await minutes(30, healthy(), two, one);
    expect(receiver.news()).toEqual(['db1 resolve verification-failed/shop']);
  });

  it('another one goes on at once after a stop, and repeats nothing', async () => {
    const [one, two] = [start('db1'), start('db2')];
    await minutes(3, bad, one, two);
    await settled(one.stop());
    expect(roles(await minutes(10, bad, two))).toEqual(['teller']);
    await minutes(1, healthy(), two);
    expect(receiver.news()).toEqual(['db1 trigger verification-failed/shop', 'db2 resolve verification-failed/shop']);
  });

  it('another one goes on within ten minutes of a crash, and repeats nothing', async () => {
    const [one, two] = [start('db1'), start('db2')];
    await minutes(3, bad, one, two);
    one.host.stop();
    expect(roles(await minutes(10, bad, two))).toEqual(['teller']);
    await minutes(1, healthy(), two);
    expect(receiver.news()).toEqual(['db1 trigger verification-failed/shop', 'db2 resolve verification-failed/shop']);
  });

  it('one that was taken over while its machine slept tells nothing more', async () => {
    const [one, two] = [start('db1'), start('db2')];
    await minutes(3, bad, one, two);
    one.host.suspend();
    await minutes(15, bad, two);
    one.host.resume();
    expect(roles(await minutes(15, bad, one, two))).toEqual(['listener', 'teller']);
    await minutes(5, healthy(), one, two);
    expect(receiver.news()).toEqual(['db1 trigger verification-failed/shop', 'db2 resolve verification-failed/shop']);
  });
});

describe('a restart', () => {
  it('tells nothing again', async () => {
    const one = start('db1');
    await minutes(3, bad, one);
    await settled(one.stop());
    await minutes(10, bad, start('db1'));
    expect(receiver.news()).toEqual(['db1 trigger verification-failed/shop']);
  });

  it('between telling and writing tells twice, and not never', async () => {
    const one = start('db1');
    one.store.add({ on: 'put', key: ALERT_STATE_KEY, fault: 'storage-unreachable' });
    const [result] = await minutes(1, bad, one);
    expect(result).toMatchObject({ role: 'teller', error: { code: 'storage-unreachable' } });
    one.host.stop();
    await minutes(10, bad, start('db1'));
    expect(receiver.news()).toEqual(['db1 trigger verification-failed/shop', 'db1 trigger verification-failed/shop']);
  });

  it('in the middle of holding something back goes on where it was', async () => {
    const one = start('db1');
    await minutes(6, full, one);
    await settled(one.stop());
    const two = start('db1');
    await minutes(4, full, two);
    expect(receiver.news()).toEqual([]);
    await minutes(1, full, two);
    expect(receiver.news()).toEqual(['db1 trigger storage-nearly-full/null']);
  });
});

describe('while the repository is away', () => {
  it('for a minute nothing is told, and writing is made up for', async () => {
    const one = start('db1');
    await minutes(1, healthy(), one);
    outage(one.store);
    expect(roles(await minutes(2, away, one))).toEqual(['alone']);
    one.store.heal();
    expect(roles(await minutes(1, bad, one))).toEqual(['teller']);
    expect(receiver.news()).toEqual(['db1 trigger verification-failed/shop']);
    await settled(one.stop());
    await minutes(3, bad, start('db2'));
    expect(receiver.news()).toEqual([]);
  });

  it('for so long that its own lease keeps it out afterwards, it does not take itself for another one', async () => {
    const one = start('db1');
    await minutes(28, raising['backup-overdue'][1], one);
    outage(one.store);
    await minutes(5, raising['backup-overdue'][1], one);
    expect(receiver.news()).toEqual(['db1 trigger backup-overdue/shop']);
    one.store.heal();
    expect(roles(await minutes(1, raising['backup-overdue'][1], one))).toEqual(['listener']);
    expect(roles(await minutes(9, raising['backup-overdue'][1], one))).toEqual(['teller']);
    expect(receiver.news()).toEqual([]);
    await minutes(1, healthy(), one);
    expect(receiver.news()).toEqual(['db1 resolve backup-overdue/shop']);
  });

  it('for hours that is told once, nothing else ends or is told again, and its end is told once', async () => {
    const [one, two] = [start('db1'), start('db2')];
    await minutes(3, bad, one, two);
    expect(receiver.news()).toEqual(['db1 trigger verification-failed/shop']);
    outage(one.store);
    await minutes(59, away, one);
    expect(receiver.news()).toEqual([]);
    await minutes(5, away, one);
    expect(receiver.heard[0]?.notice.detail).toContainEqual(expect.stringMatching(/^storage-unreachable: told to fail/));
    expect(receiver.news()).toEqual(['db1 trigger objective-unknown/shop']);
    await minutes(60, away, one);
    one.store.heal();
    const results = await minutes(20, bad, one, two);
    expect(roles(results)).toContain('teller');
    expect(receiver.news().map((line) => line.replace(/^db\d /, ''))).toEqual(['resolve objective-unknown/shop']);
    await minutes(5, healthy(), one, two);
    expect(receiver.news().map((line) => line.replace(/^db\d /, ''))).toEqual(['resolve verification-failed/shop']);
  });

  it('a listener is silent at first, and takes it on itself when the teller may be dead too', async () => {
    const [one, two] = [start('db1'), start('db2')];
    await minutes(3, bad, one, two);
    receiver.news();
    outage(two.store);
    one.host.stop();
    expect(roles(await minutes(29, away, two))).toEqual(['listener']);
    expect(roles(await minutes(62, away, two))).toEqual(['alone']);
    expect(receiver.news()).toEqual(['db2 trigger objective-unknown/shop']);
    two.store.heal();
    expect(roles(await minutes(10, bad, two))).toEqual(['teller']);
    await minutes(1, healthy(), two);
    expect(receiver.news()).toEqual(['db2 resolve objective-unknown/shop', 'db2 resolve verification-failed/shop']);
  });

  it('for a listener only, it tells the end of what it told when it sees that another one tells', async () => {
    const [one, two] = [start('db1'), start('db2')];
    await minutes(3, healthy(), one, two);
    outage(two.store);
    for (let minute = 0; minute < 95; minute += 1) {
      await settled(one.round(now(healthy())));
      await minutes(1, away, two);
    }
    expect(receiver.news()).toEqual(['db2 trigger objective-unknown/shop']);
    two.store.heal();
    await minutes(20, healthy(), one, two);
    expect(receiver.news()).toEqual(['db2 resolve objective-unknown/shop']);
  });

  it('at the start already, receivers hear of the end under the name that they heard of the beginning', async () => {
    const one = start('db1');
    outage(one.store);
    await minutes(62, away, one);
    const [begun] = receiver.heard.splice(0);
    expect(begun?.notice).toMatchObject({ kind: 'trigger', rule: 'objective-unknown' });
    one.store.heal();
    await minutes(3, bad, one);
    expect(receiver.heard.map(({ notice: { kind, dedupKey } }) => [kind, dedupKey])).toEqual([
      ['resolve', begun?.notice.dedupKey],
      ['trigger', `jetbackup/${REPOSITORY}/verification-failed/shop`],
    ]);
  });

  it('for good, since its credentials may not write there, it tells all the same', async () => {
    const one = start('db1');
    one.store.add({ on: 'put', fault: 'storage-denied' });
    const [result] = await minutes(1, bad, one);
    expect(result).toMatchObject({ role: 'alone', error: { code: 'storage-denied' } });
    await minutes(5, healthy(), one);
    expect(receiver.news()).toEqual(['db1 trigger verification-failed/shop', 'db1 resolve verification-failed/shop']);
  });

  it('a store that hangs holds up no round for longer than a minute and a half', async () => {
    const one = start('db1');
    await minutes(1, healthy(), one);
    one.store.add({ on: 'list', key: 'alerts/', fault: 'hang' });
    const begun = time.now();
    await settled(one.round(now(bad)));
    expect(time.now().epochMilliseconds - begun.epochMilliseconds).toBeLessThan(90_000);
    expect(receiver.news()).toEqual(['db1 trigger verification-failed/shop']);
  });
});

describe('an acknowledgement', () => {
  const key = 'verification-failed/shop';
  const reason = 'restoring by hand';

  it('is taken in by the service that tells, whichever host it comes from, and quiets it until it is over', async () => {
    const [one, ops] = [start('db1'), start('laptop')];
    await minutes(3, bad, one);
    receiver.news();
    expect(await settled(ops.acknowledge({ which: { key }, reason, until: null }))).toMatchObject({ applied: false, incidents: [{ key }] });
    const [result] = await minutes(1, bad, one);
    expect(receiver.heard[0]?.notice.detail).toEqual(['by ops@laptop: restoring by hand', 'quiet until it is over']);
    expect(receiver.news()).toEqual([`db1 acknowledge ${key}`]);
    expect(result?.open).toMatchObject([{ key, incident: { acknowledged: { by: 'ops@laptop', reason, until: null } } }]);
    expect([...memory.objects.keys()].filter((name) => name.startsWith('alerts/'))).toEqual([ALERT_STATE_KEY]);
    await rounds(48, 30 * MINUTE, bad, one);
    expect(receiver.news()).toEqual([]);
    await minutes(1, healthy(), one);
    expect(receiver.news()).toEqual([`db1 resolve ${key}`]);
  });

  it('with an end is over then', async () => {
    const one = start('db1');
    await minutes(1, bad, one);
    await settled(one.stop());
    const until = time.now().add({ hours: 6 });
    expect(await settled(one.acknowledge({ which: { rule: 'verification-failed', database: undefined }, reason, until }))).toMatchObject({
      applied: true,
    });
    expect(receiver.news()).toEqual([`db1 trigger ${key}`, `db1 acknowledge ${key}`]);
    const two = start('db2');
    await rounds(11, 30 * MINUTE, bad, two);
    await minutes(29, bad, two);
    expect(receiver.news()).toEqual([]);
    await minutes(3, bad, two);
    expect(receiver.news()).toEqual([`db2 repeat ${key}`]);
  });

  it('means the incident that it was about, and not a later one of the same kind', async () => {
    const one = start('db1');
    await minutes(1, bad, one);
    await settled(one.acknowledge({ which: { key }, reason, until: null }));
    for (const nth of [1, 2]) one.store.add({ on: 'list', key: 'alerts/', fault: 'storage-unreachable', nth });
    await minutes(1, healthy(), one);
    await minutes(1, bad, one);
    const [result] = await minutes(1, bad, one);
    expect(result?.open).toMatchObject([{ key, incident: { acknowledged: null } }]);
    expect(receiver.news()).toEqual([`db1 trigger ${key}`, `db1 resolve ${key}`, `db1 trigger ${key}`]);
  });

  it('of what is not open is refused, with what is', async () => {
    const one = start('db1');
    await minutes(1, bad, one);
    const refused = settled(one.acknowledge({ which: { rule: 'collapse', database: 'shop' }, reason, until: null }));
    await expect(refused).rejects.toMatchObject({ code: 'usage', message: 'no incident collapse of shop is open', hint: `Open: ${key}.` });
  });

  it('that nobody can read is taken away', async () => {
    const one = start('db1');
    memory.objects.set('alerts/acknowledgements/20261125T120000Z-aaaaaa.json', Buffer.from('{'));
    await minutes(1, bad, one);
    expect([...memory.objects.keys()].filter((name) => name.startsWith('alerts/'))).toEqual([ALERT_STATE_KEY]);
  });
});

describe('the stored state', () => {
  it('that is damaged is said, told once more, and written whole', async () => {
    const one = start('db1');
    await minutes(1, bad, one);
    await settled(one.stop());
    memory.objects.set(ALERT_STATE_KEY, Buffer.from('{"format": 1, '));
    const [result] = await minutes(1, bad, start('db2'));
    expect(result).toMatchObject({ role: 'teller', damaged: 'it is not JSON' });
    expect(receiver.news()).toEqual(['db1 trigger verification-failed/shop', 'db2 trigger verification-failed/shop']);
    expect(JSON.parse(Buffer.from(memory.objects.get(ALERT_STATE_KEY) ?? []).toString())).toMatchObject({
      incidents: { 'verification-failed/shop': { phase: 'open' } },
    });
  });

  it('that somebody removed is written again', async () => {
    const one = start('db1');
    await minutes(2, bad, one);
    memory.objects.delete(ALERT_STATE_KEY);
    await minutes(1, bad, one);
    expect(memory.objects.has(ALERT_STATE_KEY)).toBe(true);
  });

  it('is not written each minute for the age of what is open', async () => {
    const one = start('db1');
    const schedule = { backup: { overdueSince: NOW.subtract({ hours: 3 }) } };
    for (let minute = 0; minute < 60; minute += 1) {
      const facts = now(healthy());
      await settled(one.round({ ...facts, databases: facts.databases.map((database) => ({ ...database, schedule })) }));
      await time.advance(MINUTE);
    }
    const puts = one.store.calls.filter(({ call, key }) => call === 'put' && key === ALERT_STATE_KEY).length;
    expect(puts).toBeGreaterThan(2);
    expect(puts).toBeLessThan(7);
    expect(receiver.heard[0]?.notice.summary).toBe('shop: a backup has been due for 3h 30m and has not begun');
    expect(receiver.news()).toEqual(['db1 trigger backup-overdue/shop']);
  });
});
