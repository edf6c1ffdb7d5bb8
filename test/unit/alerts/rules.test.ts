import { describe, expect, it } from 'vitest';
import type { Facts } from '../../../src/alerts/facts.ts';
import { defaultPolicy } from '../../../src/alerts/policy.ts';
import { evaluate } from '../../../src/alerts/rules.ts';
import { ruleIds } from '../../../src/core/alert.ts';
import { ago, ahead, healthy, NOW, raising } from './facts.ts';

const raised = (facts: Facts) => evaluate(facts, defaultPolicy).conditions.map(({ rule, severity }) => `${rule} ${severity}`);
const failing = (code: 'locked' | 'objective-missed' | 'check-failed' | 'sandbox-unavailable') =>
  ({ result: 'failed', at: ago({ hours: 1 }), code }) as const;

describe('the rules', () => {
  it('say nothing where nothing is wrong', () => {
    expect(evaluate(healthy(), defaultPolicy)).toEqual({ conditions: [], unknown: [] });
  });

  it.each(Object.entries(raising))('%s is raised alone', (rule, [severity, facts]) => {
    expect(raised(facts)).toEqual([`${rule} ${severity}`]);
  });

  it('are all tried here', () => {
    expect(Object.keys(raising).concat('alert-delivery').toSorted()).toEqual([...ruleIds].toSorted());
  });

  it('raise a channel that fails, by its name', () => {
    const failure = {
      since: ago({ minutes: 5 }),
      code: 'alert-refused',
      message: 'slack (hooks.slack.com) answered 404',
      settled: false,
    } as const;
    const { conditions } = evaluate(
      healthy(
        {},
        {
          channels: [
            { name: 'slack', failure },
            { name: 'mail', failure: null },
          ],
        },
      ),
      defaultPolicy,
    );
    expect(conditions.map(({ key, severity }) => [key, severity])).toEqual([['alert-delivery/slack', 'warning']]);
    expect(conditions[0]?.hint).toBe('jetbackup alerts test --channel slack');
  });

  it('say in one line what it is about, and what to type', () => {
    for (const [rule, [, facts]] of Object.entries(raising)) {
      const [condition] = evaluate(facts, defaultPolicy).conditions;
      expect(condition?.summary, rule).not.toMatch(/\n|\.$/);
      expect(condition?.hint, rule).toBeTruthy();
      if (condition?.database !== null) expect(condition?.summary, rule).toMatch(/^shop: /);
    }
  });

  describe('what could not be told', () => {
    it('raises nothing, and recovers nothing', () => {
      const { conditions, unknown } = evaluate(
        { now: NOW, databases: [{ name: 'shop', objectives: {} }] },
        { ...defaultPolicy, provenWithinMs: null },
      );
      expect(conditions).toEqual([]);
      expect(unknown).toContain('backup-failed/shop');
      expect(unknown).toContain('storage-nearly-full');
      expect(unknown).not.toContain('recovery-point-old/shop');
    });

    it('is raised itself where there is an objective', () => {
      const { conditions } = evaluate({ now: NOW, databases: [{ name: 'shop', objectives: { rpoMs: 1, rtoMs: 1 } }] }, defaultPolicy);
      expect(conditions.map(({ rule, detail }) => [rule, detail.length])).toEqual([['objective-unknown', 3]]);
    });

    it('is an RTO that has never been measured, too', () => {
      expect(raised(healthy({ rto: null }))).toEqual(['objective-unknown warning']);
    });
  });

  it.each([
    ['a backup that gave way to another one', healthy({ backup: failing('locked') }), 'backup-failed/shop'],
    ['a backup that was interrupted', healthy({ backup: { result: 'interrupted', at: NOW } }), 'backup-failed/shop'],
    ['a verification that could not run', healthy({ verify: failing('sandbox-unavailable') }), 'verification-failed/shop'],
  ])('%s leaves open what was open', (_, facts, key) => {
    expect(evaluate(facts, defaultPolicy).unknown).toContain(key);
  });

  it.each<[string, string[], Facts]>([
    [
      'a failed backup where no objective says when it matters',
      ['backup-failed critical'],
      healthy({ backup: { ...failing('check-failed'), code: 'dump-failed' }, objectives: {} }),
    ],
    ['no recovery point after runs', ['recovery-point-old critical'], healthy({ newestPoint: null })],
    [
      'no recovery point before the first run',
      ['recovery-point-old warning'],
      healthy({ newestPoint: null, newestProven: null, backup: null }),
    ],
    ['a point exactly as old as the objective', [], healthy({ newestPoint: ago({ hours: 26 }) })],
    ['backups of which none was ever proven', ['proof-old warning'], healthy({ newestProven: null })],
    ['a proof twice too old', ['proof-old critical'], healthy({ newestProven: ago({ hours: 24 * 17 }) })],
    ['a verification that missed only the objective', [], healthy({ verify: failing('objective-missed') })],
    ['a drill that could not run', ['drill-failed warning'], healthy({ drill: failing('sandbox-unavailable') })],
    ['an RTO at risk within two weeks', ['rto-forecast warning'], healthy({ forecast: { atRiskAt: ahead({ hours: 24 * 13 }) } })],
    ['an RTO at risk in half a year', [], healthy({ forecast: { atRiskAt: ahead({ hours: 24 * 180 }) } })],
    [
      'a disk that is 90 % full',
      ['storage-nearly-full critical'],
      healthy({}, { repository: { location: 'x', capacity: { bytes: 10, usedBytes: 9 } } }),
    ],
    ['a disk just below 70 %', [], healthy({}, { repository: { location: 'x', capacity: { bytes: 1000, usedBytes: 699 } } })],
    ['an object store', [], healthy({}, { repository: { location: 's3://x', usedBytes: 9e15, capacity: null } })],
    ['an escrow that nobody ever checked', ['escrow-overdue warning'], healthy({}, { keys: { escrowCheckedAt: null, rotations: [] } })],
    [
      'a key to be replaced within a week',
      ['key-rotation-due warning'],
      healthy({}, { keys: { escrowCheckedAt: NOW, rotations: [{ key: 'age1x', dueAt: ahead({ hours: 150 }) }] } }),
    ],
  ])('%s: %j', (_, expected, facts) => {
    expect(raised(facts)).toEqual(expected);
  });

  it('do not ask for what is switched off', () => {
    const policy = { ...defaultPolicy, provenWithinMs: null, escrowEveryMs: null };
    expect(evaluate(healthy({ newestProven: null }, { keys: { escrowCheckedAt: null, rotations: [] } }), policy).conditions).toEqual([]);
  });
});
