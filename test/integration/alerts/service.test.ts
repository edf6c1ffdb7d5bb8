import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Temporal } from 'temporal-polyfill';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { openAlerts } from '../../../src/alerts/all.ts';
import { defaultPolicy } from '../../../src/alerts/policy.ts';
import { isJetbackupError, JetbackupError } from '../../../src/core/errors.ts';
import { factsOf, storageFacts } from '../../../src/operations/alert-facts.ts';
import { createAlertRounds, type RoundResult } from '../../../src/operations/alert-rounds.ts';
import { createFilesystemStore } from '../../../src/storage/filesystem.ts';
import type { ObjectStore, Room } from '../../../src/storage/store.ts';
import type { RestoreCheck } from '../../../src/verify/check.ts';
import { type HttpReceiver, httpReceiver } from '../../support/http-receiver.ts';
import { datedStore, type SimulatedClock, simulatedClock } from '../../support/simulated-time.ts';
import { DATABASE, openSmallInstallation } from '../../support/small-installation.ts';
import { hastened, type Mail, type MailServer, mailServer, never, secret } from './receivers.ts';

const objectives = { rpoMs: 26 * 3_600_000, rtoMs: undefined };
const failing: RestoreCheck = {
  id: 'inventory',
  run: async () => ({ status: 'fail', message: '1 object is missing', hint: 'Look.', findings: [] }),
};
const good = Array.from({ length: 500 }, (_, row) => `${row}\tone\n`);

let root: string;
let clock: SimulatedClock;
let store: ObjectStore;
let room: Room;
let rows: () => readonly string[];
let small: Awaited<ReturnType<typeof openSmallInstallation>>;
let hook: HttpReceiver;
let pager: HttpReceiver;
let mail: MailServer;
let rounds: ReturnType<typeof startService>;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'jetbackup-alerts-'));
  clock = simulatedClock(Temporal.Instant.from('2026-11-20T02:00:00Z'));
  room = { totalBytes: 100e9, freeBytes: 60e9 };
  store = { ...datedStore(createFilesystemStore({ directory: root }), clock), room: async () => room };
  rows = () => good;
  small = await openSmallInstallation({ store, clock, rows: () => rows(), policy: { daily: 7 } });
  [hook, pager] = await Promise.all([httpReceiver(), httpReceiver()]);
  mail = await mailServer({ secure: false, disabledCommands: ['STARTTLS', 'AUTH'] });
  rounds = startService();
});
afterEach(async () => {
  await rounds[Symbol.asyncDispose]();
  for (const one of [hook, pager, mail]) await one[Symbol.asyncDispose]();
  await rm(root, { recursive: true, force: true });
});

/** The rounds of one service, through a real mail server, a webhook and PagerDuty. */
function startService() {
  const filter = { severity: 'info', rules: undefined, databases: undefined } as const;
  const { targets } = openAlerts({ clock: { ...hastened, now: () => clock.now() } }, 'db1', [
    { kind: 'webhook', name: 'hook', url: secret(hook.url), secret: secret('s'.repeat(32)), filter },
    { kind: 'pagerduty', name: 'pager', routingKey: secret('R'.repeat(32)), endpoint: pager.url, filter },
    {
      ...{ kind: 'email', name: 'mail', host: 'localhost', port: mail.port, tls: 'off', caFile: undefined, login: undefined, filter },
      ...{ from: 'jetbackup@example.com', to: ['ops@example.com'] },
    },
  ]);
  return createAlertRounds({ store, clock }, { targets, policy: defaultPolicy, holder: 'db1' });
}

/** So much later, what the service does each minute: it looks at the repository, and tells what is wrong. */
async function round(after: Temporal.DurationLike = { minutes: 0 }): Promise<RoundResult> {
  clock.setTo(clock.now().add(after));
  const survey = await small.status(objectives).catch((error: unknown) => {
    if (isJetbackupError(error)) return error;
    throw error;
  });
  const seen = survey instanceof JetbackupError ? { failure: survey } : { report: survey };
  const storage = await storageFacts({ store, clock }, seen, never);
  const facts = factsOf(seen.report, { now: clock.now(), databases: [{ name: DATABASE, objectives }], storage });
  return await rounds.round(facts, never);
}

async function night(): Promise<string> {
  const { id } = await small.backup();
  clock.setTo(clock.now().add({ minutes: 30 }));
  await small.verify(id);
  return id;
}

const Told = z.object({ kind: z.string(), rule: z.string(), severity: z.string(), dedupKey: z.string() });
const Event = z.object({ event_action: z.string(), dedup_key: z.string() });

/** Its words, without the line breaks of quoted-printable. */
const textOf = (one: Mail | undefined) => one?.text.replaceAll('=\r\n', '');

/** What every receiver was told since the last call, which must be the same: `trigger collapse critical`. */
function told(): string[] {
  const hooks = hook.received.splice(0).map(({ body }) => Told.parse(JSON.parse(body)));
  const events = pager.received.splice(0).map(({ body }) => Event.parse(JSON.parse(body)));
  expect(events.map(({ event_action, dedup_key }) => [event_action, dedup_key])).toEqual(
    hooks.map(({ kind, dedupKey }) => [kind, dedupKey]),
  );
  const subjects = mail.mails.splice(0).map(({ text }) => /^Subject: \[jetbackup\] ([A-Z]+)/m.exec(text)?.[1]);
  expect(subjects).toEqual(hooks.map(({ kind, severity }) => (kind === 'resolve' ? 'RESOLVED' : severity.toUpperCase())));
  return hooks.map(({ kind, rule, severity }) => `${kind} ${rule} ${severity}`).toSorted();
}

describe('from the repository to the mail, once, and back to resolved, once', () => {
  beforeEach(async () => {
    for (let nights = 0; nights < 4; nights += 1) {
      await night();
      clock.setTo(clock.now().add({ hours: 23, minutes: 30 }));
    }
    await night();
    await round();
    expect(told()).toEqual([]);
  });

  it('a recovery point that is too old', async () => {
    await round({ hours: 25 });
    expect(told()).toEqual([]);
    await round({ hours: 1 });
    await round({ minutes: 30 });
    await round({ minutes: 30 });
    expect(told()).toEqual(['trigger recovery-point-old critical']);
    await night();
    await round();
    await round({ minutes: 30 });
    expect(told()).toEqual(['resolve recovery-point-old critical']);
  });

  it('a backup that failed', async () => {
    clock.setTo(clock.now().add({ hours: 10 }));
    rows = () => {
      throw new JetbackupError('dump-failed', 'pg_dump ended with status 1');
    };
    await expect(small.backup()).rejects.toThrow('pg_dump');
    await round();
    expect(textOf(mail.mails[0])).toContain('pg_dump ended with status 1');
    await round({ minutes: 30 });
    expect(told()).toEqual(['trigger backup-failed warning']);
    rows = () => good;
    await night();
    await round({ minutes: 30 });
    expect(told()).toEqual(['resolve backup-failed warning']);
  });

  it('a verification that found a backup bad', async () => {
    clock.setTo(clock.now().add({ hours: 10 }));
    const { id } = await small.backup();
    await small.verify(id, { checks: [failing] });
    await round({ minutes: 30 });
    await round({ minutes: 30 });
    expect(told()).toEqual(['trigger verification-failed critical']);
    await night();
    await round();
    expect(told()).toEqual(['resolve verification-failed critical']);
  });

  it('a verification that found a backup bad, and went on to an older one that is good, before anybody looked', async () => {
    clock.setTo(clock.now().add({ hours: 10 }));
    const { id } = await small.backup();
    const [older = ''] = await small.committed();
    await small.verify(id, { checks: [failing] });
    clock.setTo(clock.now().add({ minutes: 1 }));
    await small.verify(older);
    await round({ minutes: 30 });
    expect(textOf(mail.mails[0])).toContain(`backup ${id} was found bad`);
    expect(told()).toEqual(['trigger verification-failed critical']);
    clock.setTo(clock.now().add({ hours: 1 }));
    await night();
    await round();
    expect(told()).toEqual(['resolve verification-failed critical']);
  });

  it('a collapse, which freezes deletion until somebody accepts it', async () => {
    clock.setTo(clock.now().add({ hours: 10 }));
    rows = () => good.slice(0, 5);
    const id = await night();
    await round();
    await round({ minutes: 30 });
    expect(told()).toEqual(['trigger collapse critical', 'trigger retention-frozen warning']);
    await small.accept(id, 'a purge');
    await round();
    expect(told()).toEqual(['resolve collapse critical', 'resolve retention-frozen warning']);
  });

  it('a file system that fills up', async () => {
    room = { totalBytes: 100e9, freeBytes: 25e9 };
    await round();
    expect(told()).toEqual([]);
    await round({ minutes: 15 });
    await round({ minutes: 15 });
    expect(told()).toEqual(['trigger storage-nearly-full warning']);
    room = { totalBytes: 100e9, freeBytes: 5e9 };
    await round({ minutes: 15 });
    expect(told()).toEqual(['trigger storage-nearly-full critical']);
    room = { totalBytes: 100e9, freeBytes: 70e9 };
    await round({ minutes: 15 });
    await round({ minutes: 35 });
    await round({ minutes: 15 });
    expect(told()).toEqual(['resolve storage-nearly-full critical']);
  });

  it('a directory that is not mounted any more', async () => {
    await rename(root, `${root}-away`);
    const [first, last] = [await round({ minutes: 30 }), await round({ minutes: 61 })];
    expect(first).toMatchObject({ role: 'alone', error: { code: 'repository-missing' } });
    expect(last.open).toMatchObject([{ key: `objective-unknown/${DATABASE}` }]);
    expect(textOf(mail.mails[0])).toContain('holds no repository');
    await round({ minutes: 30 });
    expect(told()).toEqual(['trigger objective-unknown warning']);
    await rm(root, { recursive: true, force: true });
    await rename(`${root}-away`, root);
    expect(await round({ minutes: 15 })).toMatchObject({ role: 'teller' });
    await round({ minutes: 15 });
    await round({ minutes: 15 });
    expect(told()).toEqual(['resolve objective-unknown warning']);
  });

  it('what was open at a restart', async () => {
    await round({ hours: 26 });
    expect(told()).toEqual(['trigger recovery-point-old critical']);
    await rounds[Symbol.asyncDispose]();
    rounds = startService();
    await round({ minutes: 1 });
    expect(told()).toEqual([]);
    await night();
    await round();
    expect(told()).toEqual(['resolve recovery-point-old critical']);
  });
});
