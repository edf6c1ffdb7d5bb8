import type { Temporal } from 'temporal-polyfill';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod';
import type { AlertFilter, AlertTarget } from '../../../src/alerts/alert.ts';
import { type AlertSetting, openAlerts } from '../../../src/alerts/all.ts';
import type { Facts } from '../../../src/alerts/facts.ts';
import { acknowledge } from '../../../src/alerts/incidents.ts';
import { defaultPolicy } from '../../../src/alerts/policy.ts';
import { alertRound, sendNotices } from '../../../src/alerts/round.ts';
import { type AlertState, emptyState, readState } from '../../../src/alerts/state.ts';
import type { Severity } from '../../../src/core/alert.ts';
import { type Clock, type Instant, systemClock } from '../../../src/platform/clock.ts';
import { type HttpReceiver, httpReceiver } from '../../support/http-receiver.ts';
import { healthy, later, NOW, raising } from '../../unit/alerts/facts.ts';
import { certificate, hastened, type MailServer, mailServer, never, secret } from './receivers.ts';

const all: AlertFilter = { severity: 'info', rules: undefined, databases: undefined };

let tls: Awaited<ReturnType<typeof certificate>>;
let slack: HttpReceiver;
let pager: HttpReceiver;
let hook: HttpReceiver;
let mail: MailServer;
beforeAll(async () => {
  tls = await certificate();
});
afterAll(() => tls.remove());
beforeEach(async () => {
  [slack, pager, hook] = await Promise.all([httpReceiver(), httpReceiver(), httpReceiver()]);
  mail = await mailServer({ key: tls.key, cert: tls.cert, secure: false });
});
afterEach(async () => {
  for (const one of [slack, pager, hook, mail]) await one[Symbol.asyncDispose]();
});

function settings(filter: AlertFilter = all): AlertSetting[] {
  return [
    { kind: 'slack', name: 'slack', url: secret(slack.url), filter },
    { kind: 'pagerduty', name: 'pager', routingKey: secret('R'.repeat(32)), endpoint: pager.url, filter },
    { kind: 'webhook', name: 'hook', url: secret(hook.url), secret: secret('s'.repeat(32)), filter },
    {
      kind: 'email',
      name: 'mail',
      host: 'localhost',
      port: mail.port,
      tls: 'starttls',
      caFile: tls.caFile,
      login: undefined,
      from: 'jetbackup@example.com',
      to: ['ops@example.com'],
      filter,
    },
  ];
}

/** One installation whose rounds come when told to; its state goes through its stored form, as over a restart. */
function installation(own: readonly AlertSetting[] = settings()) {
  let now: Instant = NOW;
  const clock: Clock = { ...hastened, now: () => now };
  const { targets } = openAlerts({ clock }, 'db1', own);
  let stored: string | undefined;
  return {
    targets: targets as readonly AlertTarget[],
    state: (): AlertState => readState(stored).state,
    async round(facts: Facts, after: Temporal.DurationLike = { minutes: 0 }) {
      now = now.add(after);
      const { state } = readState(stored);
      const done = await alertRound(
        { clock, targets, policy: defaultPolicy, installation: 'r' },
        { facts: later(facts, now.epochMilliseconds - NOW.epochMilliseconds), state },
        never,
      );
      stored = JSON.stringify(done.state);
      return done.deliveries;
    },
    async acknowledge(key: string) {
      const done = acknowledge(readState(stored).state, key, { by: 'ops', until: null }, now, 'r');
      if (done === undefined) throw new Error('no such incident');
      stored = JSON.stringify((await sendNotices({ clock, targets }, done.state, [done.notice], never)).state);
    },
  };
}

const Body = z.looseObject({});
const parsed = (receiver: HttpReceiver) => receiver.received.map(({ body }) => Body.parse(JSON.parse(body)));
const events = () =>
  parsed(pager).map(({ event_action, payload }) => [event_action, z.object({ severity: z.string() }).safeParse(payload).data?.severity]);
const messages = () => parsed(slack).map(({ text }) => String(text).replace(/^\*([A-Z ]+?) [^A-Z].*$/s, '$1'));
const hooks = () => parsed(hook).map(({ kind, severity }) => [kind, severity]);
const subjects = () => mail.mails.map(({ text }) => /^Subject: \[jetbackup\] ([A-Z]+)/m.exec(text)?.[1]);

describe('every rule fires and resolves once, through every channel', () => {
  it.each(Object.entries(raising))('%s', async (rule, [severity, facts]) => {
    const { round } = installation();
    // Longer than any rule is held or must be gone.
    for (const [when, after] of [
      [facts, 0],
      [facts, 61],
      [facts, 1],
      [healthy(), 1],
      [healthy(), 25 * 60],
      [healthy(), 1],
    ] as const) {
      await round(when, { minutes: after });
    }
    const loud = severity.toUpperCase();
    expect(events()).toEqual([
      ['trigger', severity],
      ['resolve', undefined],
    ]);
    expect(hooks()).toEqual([
      ['trigger', severity],
      ['resolve', severity],
    ]);
    expect(messages()).toEqual([loud, 'RESOLVED']);
    expect(subjects()).toEqual([loud, 'RESOLVED']);
    expect(parsed(hook).map((body) => body['rule'])).toEqual([rule, rule]);
    expect(new Set(parsed(pager).map(({ dedup_key }) => dedup_key)).size).toBe(1);
  });
});

describe('a channel that fails', () => {
  const [, failing] = raising['verification-failed'];

  it('is reported through the others once, and gets what it missed when it works again', async () => {
    const { round, state } = installation();
    slack.answer(404);
    const deliveries = await round(failing);
    expect(deliveries.filter(({ error }) => error !== undefined).map(({ channel, error }) => [channel, error?.code])).toEqual([
      ['slack', 'alert-refused'],
    ]);
    expect(hooks()).toEqual([
      ['trigger', 'critical'],
      ['trigger', 'warning'],
    ]);
    expect(parsed(hook)[1]).toMatchObject({
      rule: 'alert-delivery',
      subject: 'slack',
      summary: 'alerts cannot be delivered through slack',
    });
    expect(subjects()).toEqual(['CRITICAL', 'WARNING']);
    expect(state().failing).toMatchObject({ slack: { code: 'alert-refused', attempts: 1 } });

    slack.answer(404);
    await round(failing, { minutes: 1 });
    expect(slack.received).toHaveLength(2);
    await round(failing, { seconds: 30 });
    expect(slack.received).toHaveLength(2);
    await round(failing, { minutes: 2 });
    expect(messages()).toEqual(['CRITICAL', 'CRITICAL', 'CRITICAL']);
    expect(state()).toMatchObject({ failing: {}, outbox: [] });
    await round(failing, { minutes: 4 });
    expect(hooks().slice(2)).toEqual([]);
    await round(failing, { minutes: 1 });
    expect(hooks().slice(2)).toEqual([['resolve', 'warning']]);
    // It is not told of its own failure.
    expect(messages()).toHaveLength(3);
  });

  it('reaches whoever it can, once for each notice and without a wait, where one of its recipients is refused', async () => {
    await using partly = await mailServer({ key: tls.key, cert: tls.cert, secure: false }, { recipient: ['gone@example.com', 550] });
    const own = settings().map((one) =>
      one.kind === 'email' ? { ...one, port: partly.port, to: ['ops@example.com', 'gone@example.com'] } : one,
    );
    const { round, state } = installation(own);
    const told = () => partly.mails.map(({ text }) => /^Subject: \[jetbackup\] ([A-Z]+)/m.exec(text)?.[1]);
    await round(failing);
    expect(state()).toMatchObject({ failing: { mail: { code: 'alert-refused' } }, outbox: [] });
    expect(told()).toEqual(['CRITICAL']);
    for (let times = 0; times < 5; times += 1) await round(failing, { minutes: 20 });
    expect(told()).toEqual(['CRITICAL']);
    expect(hooks()).toEqual([
      ['trigger', 'critical'],
      ['trigger', 'warning'],
    ]);
    await round(healthy(), { minutes: 1 });
    expect(told()).toEqual(['CRITICAL', 'RESOLVED']);
    expect(state().failing).toMatchObject({ mail: { code: 'alert-refused' } });
  });

  it('is no alarm for ever where nothing more is to go through it: a day after the last attempt it counts as working', async () => {
    await using partly = await mailServer({ key: tls.key, cert: tls.cert, secure: false }, { recipient: ['gone@example.com', 550] });
    const own = settings().map((one) =>
      one.kind === 'email' ? { ...one, port: partly.port, to: ['ops@example.com', 'gone@example.com'] } : one,
    );
    const { round, state } = installation(own);
    await round(failing);
    await round(healthy(), { minutes: 1 });
    await round(healthy(), { hours: 23, minutes: 59 });
    expect(state().failing).toMatchObject({ mail: { code: 'alert-refused' } });
    await round(healthy(), { minutes: 1 });
    expect(state().failing).toEqual({});
    const ends = () => parsed(hook).filter(({ rule, kind }) => rule === 'alert-delivery' && kind === 'resolve');
    expect(ends()).toHaveLength(0);
    await round(healthy(), { minutes: 5 });
    expect(ends()).toHaveLength(1);
    // Which was said when it began.
    const begun = parsed(hook).find(({ rule, kind }) => rule === 'alert-delivery' && kind === 'trigger');
    expect(begun?.['detail']).toEqual(expect.arrayContaining([expect.stringContaining('within a day')]));
  });

  it('that takes nothing at all fails until it does, however long nothing is sent to it', async () => {
    const { round, state } = installation();
    slack.answer(...Array.from({ length: 100 }, () => 404 as const));
    await round(failing);
    await round(healthy(), { minutes: 1 });
    for (let days = 0; days < 10; days += 1) await round(healthy(), { hours: 24 });
    expect(state()).toMatchObject({ failing: { slack: { code: 'alert-refused' } }, outbox: [] });
    expect(parsed(hook).filter(({ rule, kind }) => rule === 'alert-delivery' && kind === 'resolve')).toEqual([]);
  });

  it('that takes all but one notice gets the others without a wait, and that one no more', async () => {
    const { round, state } = installation();
    const another = healthy({ ...failing.databases[0], prune: raising['prune-failed'][1].databases[0]?.prune ?? null });
    // At its first attempt there is nothing to tell a bad notice by; then it takes what is new and refuses the old one again.
    slack.answer(404, 404);
    await round(failing);
    expect(state()).toMatchObject({ failing: { slack: { code: 'alert-refused' } }, outbox: [{ channel: 'slack' }] });
    await round(another, { seconds: 10 });
    expect(slack.received).toHaveLength(3);
    expect(state()).toMatchObject({ failing: { slack: { code: 'alert-refused', attempts: 1 } }, outbox: [] });
    await round(healthy(), { minutes: 1 });
    expect(slack.received.length).toBeGreaterThan(3);
    expect(state()).toMatchObject({ failing: {}, outbox: [] });
  });

  it('does not hold up the others, nor one that hangs', async () => {
    const { targets } = installation();
    const done: string[] = [];
    const watched = targets.map(({ channel, filter }) => ({
      filter,
      channel: {
        name: channel.name,
        async send(...args: Parameters<typeof channel.send>) {
          await channel.send(...args);
          done.push(channel.name);
        },
      },
    }));
    slack.answer('hang', 'hang', 'hang', 'hang');
    const begun = systemClock.monotonicMs();
    const round = alertRound(
      { clock: hastened, targets: watched, policy: defaultPolicy, installation: 'r' },
      { facts: failing, state: emptyState },
      never,
    );
    while (done.length < 3) await systemClock.sleep(5);
    expect(systemClock.monotonicMs() - begun).toBeLessThan(1000);
    const { deliveries } = await round;
    expect(deliveries.find(({ channel }) => channel === 'slack')?.error?.code).toBe('alert-undelivered');
  });

  it('that asks for ten minutes is left alone for ten minutes, over restarts', async () => {
    const { round } = installation();
    hook.answer({ status: 429, headers: { 'retry-after': '600' } });
    await round(failing);
    for (const minutes of [1, 2, 3, 3]) await round(failing, { minutes });
    expect(hook.received).toHaveLength(1);
    await round(failing, { minutes: 1 });
    expect(hooks()).toEqual([
      ['trigger', 'critical'],
      ['trigger', 'critical'],
    ]);
  });

  it('gets of what began and ended meanwhile only the end', async () => {
    const { round } = installation();
    pager.answer(...Array.from({ length: 4 }, () => 500 as const));
    await round(failing);
    await round(healthy(), { seconds: 10 });
    expect(pager.received).toHaveLength(4);
    await round(healthy(), { minutes: 2 });
    expect(events().slice(4)).toEqual([['resolve', undefined]]);
  });

  it('that is the only one is remembered, and nothing is lost', async () => {
    const { round, state } = installation(settings().slice(0, 1));
    slack.answer(503, 503, 503, 503);
    await round(failing);
    expect(state()).toMatchObject({ outbox: [{ channel: 'slack', notice: { rule: 'verification-failed' } }] });
    await round(failing, { minutes: 2 });
    expect(slack.received).toHaveLength(5);
    expect(state().outbox).toEqual([]);
  });
});

describe('who is told what', () => {
  it('is what the filter of the channel lets through', async () => {
    const only = (severity: Severity, changes: Partial<AlertFilter> = {}) => ({ ...all, severity, ...changes });
    const [one, two, three] = settings();
    if (one?.kind !== 'slack' || two?.kind !== 'pagerduty' || three?.kind !== 'webhook') throw new Error('unexpected');
    const { round } = installation([
      { ...one, filter: only('info', { databases: ['crm'] }) },
      { ...two, filter: only('critical') },
      { ...three, filter: only('info', { rules: ['rto-missed'] }) },
    ]);
    await round(raising['verification-failed'][1]);
    await round(raising['rto-missed'][1], { minutes: 1 });
    await round(healthy(), { minutes: 1 });
    expect(slack.received).toEqual([]);
    expect(events()).toEqual([
      ['trigger', 'critical'],
      ['resolve', undefined],
    ]);
    expect(hooks()).toEqual([
      ['trigger', 'warning'],
      ['resolve', 'warning'],
    ]);
  });

  it('after an acknowledgement is only the end', async () => {
    const { round, acknowledge: acknowledged } = installation();
    const [, failing] = raising['verification-failed'];
    await round(failing);
    await acknowledged('verification-failed/shop');
    for (let hours = 0; hours < 48; hours += 6) await round(failing, { hours: 6 });
    await round(healthy(), { hours: 1 });
    expect(events()).toEqual([
      ['trigger', 'critical'],
      ['acknowledge', undefined],
      ['resolve', undefined],
    ]);
    expect(messages()).toEqual(['CRITICAL', 'ACKNOWLEDGED', 'RESOLVED']);
  });
});
