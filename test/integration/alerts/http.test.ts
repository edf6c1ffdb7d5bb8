import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod';
import type { AlertChannel } from '../../../src/alerts/alert.ts';
import { httpHeartbeat, withHeartbeat } from '../../../src/alerts/heartbeat.ts';
import { pagerDutyChannel } from '../../../src/alerts/pagerduty.ts';
import { slackChannel } from '../../../src/alerts/slack.ts';
import { verifySignature, WebhookBodySchema, webhookChannel } from '../../../src/alerts/webhook.ts';
import { isJetbackupError, type JetbackupError } from '../../../src/core/errors.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { deadPort, type HttpReceiver, httpReceiver } from '../../support/http-receiver.ts';
import { hastened, never, notice, secret } from './receivers.ts';

const PATH = '/services/T0SECRET/B0SECRET/abcdefSECRET';
const SHARED = 'shared-secret-of-both-sides';
const ROUTING_KEY = 'R0SECRETR0SECRETR0SECRETR0SECRET';
const deps = { clock: hastened };

let receiver: HttpReceiver;
beforeEach(async () => {
  receiver = await httpReceiver(PATH);
});
afterEach(() => receiver[Symbol.asyncDispose]());

const slack = (url = receiver.url) => slackChannel(deps, { name: 'slack', url: secret(url) });
const webhook = () => webhookChannel(deps, 'db1', { name: 'hook', url: secret(receiver.url), secret: secret(SHARED) });
const pagerduty = () => pagerDutyChannel(deps, { name: 'pager', routingKey: secret(ROUTING_KEY), endpoint: receiver.url, source: 'db1' });
const bodies = () => receiver.received.map(({ body }) => z.record(z.string(), z.unknown()).parse(JSON.parse(body)));

async function failure(channel: AlertChannel, signal = never): Promise<JetbackupError> {
  const error: unknown = await channel.send(notice(), signal).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!isJetbackupError(error)) throw new Error(`expected an error of the catalogue, got ${inspect(error)}`);
  // Whatever is printed of it, also with its causes, holds no secret.
  expect(`${inspect(error, { depth: 9 })} ${error.hint ?? ''}`).not.toMatch(/SECRET|shared-secret|whatever the receiver/);
  return error;
}

describe('Slack', () => {
  it('gets a message that says what, since when, and what to type', async () => {
    await slack().send(notice(), never);
    expect(bodies()).toMatchObject([
      {
        text: '*CRITICAL shop: the last backup failed*',
        attachments: [{ color: '#e01e5a', text: expect.stringContaining('next: jetbackup backup shop') }],
      },
    ]);
    expect(receiver.received[0]?.path).toBe(PATH);
  });

  it('gets nothing that it would take for a link or a call to everybody', async () => {
    await slack().send(notice({ detail: ['<!channel> & <https://x|y>'] }), never);
    expect(receiver.received[0]?.body).toContain('&lt;!channel&gt; &amp; &lt;https://x|y&gt;');
  });

  it('hears of the end in green', async () => {
    await slack().send(notice({ kind: 'resolve' }), never);
    expect(bodies()).toMatchObject([{ text: '*RESOLVED shop: the last backup failed*', attachments: [{ color: '#2eb67d' }] }]);
  });
});

describe('PagerDuty', () => {
  it('gets trigger, acknowledge and resolve under one key, with severity', async () => {
    for (const kind of ['trigger', 'repeat', 'acknowledge', 'resolve'] as const) await pagerduty().send(notice({ kind }), never);
    expect(bodies().map(({ event_action, dedup_key, routing_key }) => [event_action, dedup_key, routing_key])).toEqual(
      ['trigger', 'trigger', 'acknowledge', 'resolve'].map((action) => [action, 'jetbackup/r/backup-failed/shop', ROUTING_KEY]),
    );
    expect(bodies()[0]).toMatchObject({
      payload: { summary: 'shop: the last backup failed', source: 'db1', severity: 'critical', component: 'shop', class: 'backup-failed' },
    });
    expect(bodies()[3]).not.toHaveProperty('payload');
  });

  it('gets a test that closes itself', async () => {
    await pagerduty().send(notice({ kind: 'test', rule: 'test', severity: 'info' }), never);
    expect(bodies().map(({ event_action }) => event_action)).toEqual(['trigger', 'resolve']);
  });
});

describe('a webhook', () => {
  it('can be checked by whoever has the secret, and by nobody else', async () => {
    await webhook().send(notice(), never);
    const body = receiver.received[0]?.body ?? '';
    expect(WebhookBodySchema.parse(JSON.parse(body))).toEqual({ version: 1, source: 'db1', ...notice() });
    const header = String(receiver.received[0]?.headers['jetbackup-signature']);
    const now = Math.floor(systemClock.now().epochMilliseconds / 1000);
    expect(verifySignature(header, body, SHARED, now)).toBe(true);
    expect(verifySignature(header, `${body} `, SHARED, now)).toBe(false);
    expect(verifySignature(header, body, 'another-secret-of-16', now)).toBe(false);
    expect(verifySignature(header, body, SHARED, now + 301)).toBe(false);
    expect(verifySignature('t=1', body, SHARED, now)).toBe(false);
  });

  it('is signed anew at each attempt, with the same id', async () => {
    receiver.answer(500, { status: 503, headers: { 'retry-after': '20' } });
    await webhook().send(notice(), never);
    expect(new Set(bodies().map(({ id }) => id)).size).toBe(1);
    expect(new Set(receiver.received.map(({ headers }) => headers['jetbackup-signature'])).size).toBeGreaterThan(1);
  });
});

describe('a receiver', () => {
  it('that fails and then works gets it', async () => {
    receiver.answer(500, 'cut', 502);
    await slack().send(notice(), never);
    expect(receiver.received).toHaveLength(4);
  });

  it('that stays broken is given up after four attempts', async () => {
    receiver.answer(500, 500, 500, 500, 500);
    const error = await failure(slack());
    expect(error).toMatchObject({ code: 'alert-undelivered', message: `slack (${receiver.host}) answered 500` });
    expect(receiver.received).toHaveLength(4);
  });

  it('that is down cannot be reached', async () => {
    const port = await deadPort();
    const error = await failure(slack(`http://127.0.0.1:${port}${PATH}`));
    expect(error).toMatchObject({ code: 'alert-undelivered', message: `slack (127.0.0.1:${port}) cannot be reached (ECONNREFUSED)` });
  });

  it('that hangs is left after ten seconds, each time', async () => {
    receiver.answer('hang', 'hang', 'hang', 'hang');
    expect(await failure(slack())).toMatchObject({
      code: 'alert-undelivered',
      message: `slack (${receiver.host}) gave no answer within 10 s`,
    });
    expect(receiver.received).toHaveLength(4);
  });

  it('that asks to wait is left alone for exactly that long', async () => {
    receiver.answer({ status: 429, headers: { 'retry-after': '20' } });
    const begun = systemClock.monotonicMs();
    await slack().send(notice(), never);
    // 20 s of the hastened clock.
    expect(systemClock.monotonicMs() - begun).toBeGreaterThan(1980);
    expect(receiver.received).toHaveLength(2);
  });

  it('that asks for a date is understood', async () => {
    const date = new Date(systemClock.now().epochMilliseconds + 20_000).toUTCString();
    receiver.answer({ status: 503, headers: { 'retry-after': date } });
    const begun = systemClock.monotonicMs();
    await slack().send(notice(), never);
    expect(systemClock.monotonicMs() - begun).toBeGreaterThan(900);
  });

  it('that asks to wait for long is left to the outbox', async () => {
    receiver.answer({ status: 429, headers: { 'retry-after': '600' } });
    expect(await failure(slack())).toMatchObject({ code: 'alert-undelivered', cause: { afterMs: 600_000 } });
    expect(receiver.received).toHaveLength(1);
  });

  it.each([400, 401, 403, 404, 410])('that answers %d is configured wrongly, which trying again does not help', async (status) => {
    receiver.answer(status);
    const error = await failure(slack());
    expect(error).toMatchObject({ code: 'alert-refused', hint: expect.stringContaining('incoming webhook') });
    expect(receiver.received).toHaveLength(1);
  });

  it('that redirects is not followed', async () => {
    receiver.answer({ status: 307, headers: { location: 'http://127.0.0.1:1/elsewhere' } });
    expect(await failure(pagerduty())).toMatchObject({ code: 'alert-refused', message: `pager (${receiver.host}) answered 307` });
  });

  it('is left at once when the command is interrupted', async () => {
    receiver.answer('hang');
    const controller = new AbortController();
    const sent = slack().send(notice(), controller.signal);
    const begun = systemClock.monotonicMs();
    setTimeout(() => controller.abort(new Error('interrupted')), 50);
    await expect(sent).rejects.toThrow('interrupted');
    expect(systemClock.monotonicMs() - begun).toBeLessThan(400);
  });
});

describe('a heartbeat', () => {
  const heartbeat = (operations: readonly ('backup' | 'verify')[] = ['backup']) =>
    httpHeartbeat(deps, { name: 'hc', url: secret(receiver.url), operations, databases: undefined });
  const failures: string[] = [];
  const run = async (work: () => Promise<string>, operation: 'backup' | 'verify' = 'backup', signal = never) =>
    await withHeartbeat(
      {
        clock: hastened,
        heartbeats: [heartbeat()],
        redact: (text) => text.replaceAll('hunter2', '[redacted]'),
        onFailure: (name) => void failures.push(name),
      },
      { operation, database: 'shop' },
      work,
      signal,
    );
  const pings = () => receiver.received.map(({ path }) => path.replace(/\?rid=[0-9a-f-]{36}$/, ''));

  it('says that a run begins and that it is done, joined by one id', async () => {
    expect(await run(async () => 'result')).toBe('result');
    expect(pings()).toEqual([`${PATH}/start`, PATH]);
    expect(new Set(receiver.received.map(({ path }) => path.split('rid=')[1])).size).toBe(1);
  });

  it('says why a run failed, without its secrets, and the run still fails', async () => {
    const failing = run(async () => {
      throw new Error('password hunter2 was refused');
    });
    await expect(failing).rejects.toThrow('was refused');
    expect(pings()).toEqual([`${PATH}/start`, `${PATH}/fail`]);
    expect(receiver.received[1]?.body).toBe('backup of shop failed: password [redacted] was refused');
  });

  it('says so too when the run is interrupted', async () => {
    const controller = new AbortController();
    const interrupted = run(
      async () => {
        await systemClock.sleep(100);
        controller.abort(new Error('SIGTERM'));
        throw new Error('SIGTERM');
      },
      'backup',
      controller.signal,
    );
    await expect(interrupted).rejects.toThrow('SIGTERM');
    expect(pings()).toContain(`${PATH}/fail`);
  });

  it('that hangs neither stops a run nor keeps it from beginning', async () => {
    receiver.answer(...Array.from({ length: 10 }, () => 'hang' as const));
    let begun = false;
    const result = run(async () => {
      begun = true;
      return 'done';
    });
    expect(begun).toBe(true);
    expect(await result).toBe('done');
    expect(failures).toContain('hc');
  });

  it('is silent about runs that it is not for', async () => {
    await run(async () => 'x', 'verify');
    expect(receiver.received).toEqual([]);
  });
});
