import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import type { AlertState, Incident } from '../../../src/alerts/state.ts';
import { documents } from '../../../src/cli/json.ts';
import { type AcknowledgeInput, openIn } from '../../../src/operations/acknowledge.ts';
import { type as typed, type World } from './command-line.ts';

function incident(changes: Partial<Incident> = {}): Incident {
  return {
    ...{
      rule: 'backup-failed',
      database: 'shop',
      subject: null,
      phase: 'open',
      severity: 'warning',
      toldSeverity: 'warning',
      peak: 'warning',
    },
    ...{ summary: 'shop: the last backup failed', detail: ['dump-failed: no room'], hint: 'jetbackup backup shop' },
    ...{ since: '2026-11-20T02:00:10.000Z', toldAt: '2026-11-20T02:00:10.000Z', goneSince: null, clearMs: 0, flaps: 0, acknowledged: null },
    ...changes,
  };
}

const state: AlertState = {
  ...{ format: 1, failing: {}, outbox: [] },
  incidents: {
    'backup-failed/shop': incident({ acknowledged: { by: 'ops@laptop', reason: 'new disk', until: '2026-11-20T16:00:00.000Z' } }),
    'collapse/crm': incident({
      rule: 'collapse',
      database: 'crm',
      severity: 'critical',
      summary: 'crm: has 4 % of the usual \u001b[31mrows',
    }),
    'proof-old/shop': incident({ rule: 'proof-old', phase: 'over' }),
  },
};

let asked: AcknowledgeInput | undefined;
const worldOf = (applied = true, damaged?: string): World => ({
  operations: {
    listIncidents: async () => ({ open: damaged === undefined ? openIn(state) : [], damaged }),
    acknowledgeIncidents: async (_, input) => {
      asked = input;
      return { incidents: openIn(state).slice(0, 1), applied };
    },
  },
});

describe('alerts list', () => {
  it('shows what is open, the most severe first, and who is at it; nothing in it steers a terminal', async () => {
    const { stdout, exitCode } = await typed('alerts list', worldOf());
    const [, first, second, ...rest] = stdout.trimEnd().split('\n');
    expect(first).toMatch(/^critical\s+collapse\/crm\s+2026-11-20 02:00:10\+00:00\s+-\s+crm: has 4 % of the usual \?\[31mrows$/);
    expect(second).toMatch(
      /^warning\s+backup-failed\/shop\s+.*ops@laptop until 2026-11-20 16:00:00\+00:00\s+shop: the last backup failed$/,
    );
    expect([rest, exitCode]).toEqual([[], 0]);
  });

  it('prints the same as a document', async () => {
    const { stdout } = await typed('alerts list --json', worldOf());
    expect(documents['alerts list'].parse(JSON.parse(stdout))).toMatchObject({
      damaged: false,
      incidents: [
        { key: 'collapse/crm', severity: 'critical', acknowledged: null },
        { key: 'backup-failed/shop', acknowledged: { by: 'ops@laptop', reason: 'new disk', until: '2026-11-20T16:00:00.000Z' } },
      ],
    });
  });

  it('says that what was told cannot be read, rather than that nothing is open', async () => {
    const { stderr, stdout } = await typed('alerts list --json', worldOf(true, 'it is not JSON'));
    expect(stderr).toContain('what was told cannot be read (it is not JSON)');
    expect(JSON.parse(stdout)).toMatchObject({ damaged: true, incidents: [] });
  });
});

describe('alerts ack', () => {
  it('quiets the incident of a key until it is over', async () => {
    const { stdout, exitCode } = await typed(['alerts', 'ack', 'collapse/crm', '--reason', 'a purge'], worldOf());
    expect(asked).toEqual({ which: { key: 'collapse/crm' }, reason: 'a purge', until: null });
    expect(stdout).toContain('acknowledged 1 incident, until over\n  collapse/crm: crm:');
    expect(exitCode).toBe(0);
  });

  it('quiets those of a rule for some time', async () => {
    const words = ['alerts', 'ack', '--rule', 'backup-failed', '--database', 'shop', '--until', '4h', '--reason', 'x', '--json'];
    const { stdout } = await typed(words, worldOf(false));
    const until = Temporal.Instant.from('2026-11-20T16:00:00Z');
    expect(asked).toEqual({ which: { rule: 'backup-failed', database: 'shop' }, reason: 'x', until });
    expect(documents['alerts ack'].parse(JSON.parse(stdout))).toMatchObject({
      applied: false,
      reason: 'x',
      until: '2026-11-20T16:00:00.000Z',
    });
  });

  it('says that the service takes it later where one runs', async () => {
    const { stdout } = await typed('alerts ack collapse/crm --reason x', worldOf(false));
    expect(stdout).toContain('left a word about 1 incident, until over');
    expect(stdout).toContain('takes it with its next round: jetbackup alerts list');
  });

  it.each([
    ['alerts ack --reason x', 'say which incident: by its key, or by --rule'],
    ['alerts ack collapse/crm --rule collapse --reason x', 'say which incident'],
    ['alerts ack collapse/crm --database crm --reason x', '--database goes with --rule'],
    ['alerts ack --rule colapse --reason x', '"colapse" is no rule'],
    ['alerts ack collapse/crm', "required option '--reason <text>' not specified"],
    ['alerts ack collapse/crm --reason x --until yesterday', '"yesterday" is neither a day nor a time from now'],
    ['alerts ack collapse/crm --reason x --until 2026-11-19', '"2026-11-19" is past already'],
  ])('%s is wrong usage', async (line, message) => {
    const { exitCode, stderr } = await typed(line, worldOf());
    expect(stderr).toContain(message);
    expect(exitCode).toBe(2);
  });
});
