import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import type { AlertChannel, Notice } from '../../../src/alerts/alert.ts';
import { deliver } from '../../../src/alerts/deliver.ts';
import { JetbackupError } from '../../../src/core/errors.ts';
import { createFakeTime } from '../../support/fake-time.ts';

const never = new AbortController().signal;

function notice(id: string): Notice {
  const at = Temporal.Instant.from('2026-11-25T12:00:00Z').toString();
  const rest = { database: 'shop', subject: null, since: at, at, hint: null } as const;
  return { id, kind: 'trigger', rule: 'backup-failed', severity: 'critical', summary: 'wrong', detail: [], dedupKey: id, ...rest };
}

const channel = (name: string, send: AlertChannel['send']): AlertChannel => ({ name, send });

describe('delivering', () => {
  it('leaves a channel that hears nothing, not even an abort, after two minutes', async () => {
    const time = createFakeTime();
    const got: string[] = [];
    const deaf = channel('deaf', () => new Promise(() => {}));
    const well = channel('well', async ({ id }) => void got.push(id));
    const jobs = [deaf, well].flatMap((one) => ['a', 'b'].map((id) => ({ channel: one, notice: notice(id) })));
    const delivered = deliver(time.host(), jobs, never);
    await time.advance(1000);
    expect(got).toEqual(['a', 'b']);
    await time.advance(120_000);
    expect((await delivered).map(({ channel: name, error }) => [name, error?.message])).toEqual([
      ['deaf', 'deaf took longer than 120 s'],
      ['deaf', 'deaf took longer than 120 s'],
      ['well', undefined],
      ['well', undefined],
    ]);
  });

  it('does not try the second where the first could not be delivered, but where it was refused', async () => {
    for (const [code, tried] of [
      ['alert-undelivered', 1],
      ['alert-refused', 2],
    ] as const) {
      let calls = 0;
      const failing = channel('x', async () => {
        calls += 1;
        throw new JetbackupError(code, 'x answered');
      });
      const jobs = ['a', 'b'].map((id) => ({ channel: failing, notice: notice(id) }));
      const results = await deliver(createFakeTime().host(), jobs, never);
      expect(results.map(({ error }) => error?.code)).toEqual([code, code]);
      expect(calls, code).toBe(tried);
    }
  });

  it('takes what a channel did not foresee for a failed delivery, and shows nothing of it', async () => {
    const broken = channel('x', async () => {
      throw new TypeError('Failed to parse URL from https://hooks.slack.com/services/SECRET');
    });
    const [result] = await deliver(createFakeTime().host(), [{ channel: broken, notice: notice('a') }], never);
    expect(result?.error).toMatchObject({ code: 'alert-undelivered', message: 'x failed in a way that was not foreseen' });
  });

  it('ends when it is told to', async () => {
    const controller = new AbortController();
    const delivered = deliver(
      createFakeTime().host(),
      [{ channel: channel('deaf', () => new Promise(() => {})), notice: notice('a') }],
      controller.signal,
    );
    controller.abort(new Error('SIGTERM'));
    await expect(delivered).rejects.toThrow('SIGTERM');
  });
});
