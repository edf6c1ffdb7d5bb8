import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { documents } from '../../../src/cli/json.ts';
import { JetbackupError } from '../../../src/core/errors.ts';
import { testAlerts } from '../../../src/operations/alerts.ts';
import { type as typed, type World } from './command-line.ts';

const refused = new JetbackupError('alert-refused', 'slack (hooks.slack.com) answered 404', { hint: 'Make a new incoming webhook.' });
const heard: unknown[] = [];

/** Slack refuses; the others take it. */
const world: World = {
  operations: { testAlerts },
  composed: {
    alertDeps: () => ({
      clock: { now: () => Temporal.Instant.from('2026-11-25T12:00:00Z'), monotonicMs: () => 0, sleep: () => new Promise(() => {}) },
      host: 'db1',
      targets: ['slack', 'mail'].map((name) => ({
        filter: { severity: 'critical', rules: [], databases: [] },
        channel: {
          name,
          async send({ summary }) {
            heard.push([name, summary]);
            if (name === 'slack') throw refused;
          },
        },
      })),
      heartbeats: [{ name: 'hc', operations: ['backup'], databases: undefined, beat: async (beat) => void heard.push(['hc', beat]) }],
    }),
  },
};

describe('alerts test', () => {
  it('goes through every channel whatever its filter, and says which one failed and why', async () => {
    heard.length = 0;
    const { exitCode, stdout, stderr } = await typed('alerts test', world);
    expect(heard).toEqual([
      ['slack', 'a test of jetbackup on db1'],
      ['mail', 'a test of jetbackup on db1'],
      ['hc', 'log'],
    ]);
    expect(exitCode).toBe(40);
    expect(stdout.split('\n').map((line) => line.split(/\s+/).slice(0, 2))).toEqual(
      expect.arrayContaining([
        ['failed', 'slack'],
        ['delivered', 'mail'],
        ['delivered', 'hc'],
      ]),
    );
    expect(stderr).toContain('error: slack (hooks.slack.com) answered 404\nhint: Make a new incoming webhook.');
  });

  it('prints the same as a document', async () => {
    const { stdout, exitCode } = await typed('alerts test --json', world);
    expect(exitCode).toBe(40);
    expect(documents['alerts test'].parse(JSON.parse(stdout)).channels).toMatchObject([
      { channel: 'slack', kind: 'channel', delivered: false, error: { code: 'alert-refused', exitCode: 40 } },
      { channel: 'mail', kind: 'channel', delivered: true, error: null },
      { channel: 'hc', kind: 'heartbeat', delivered: true, error: null },
    ]);
  });

  it('ends with 0 where all took it', async () => {
    expect((await typed('alerts test --channel mail', world)).exitCode).toBe(0);
  });

  it('knows the names of the channels', async () => {
    const { exitCode, stderr } = await typed('alerts test --channel sms', world);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('there is no alert channel "sms"');
    expect(stderr).toContain('Configured: slack, mail, hc.');
  });

  it('says that there is nothing to test', async () => {
    const none: World = { ...world, composed: { alertDeps: () => ({ clock: never(), host: 'db1', targets: [], heartbeats: [] }) } };
    expect((await typed('alerts test', none)).stderr).toContain('no alert is configured');
  });

  it('alone is wrong usage', async () => {
    expect((await typed('alerts', world)).exitCode).toBe(2);
  });
});

function never(): never {
  return Object.freeze({}) as never;
}
