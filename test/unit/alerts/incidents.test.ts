import * as fc from 'fast-check';
import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import type { Notice } from '../../../src/alerts/alert.ts';
import { type Condition, keyOf } from '../../../src/alerts/condition.ts';
import { acknowledge, advance } from '../../../src/alerts/incidents.ts';
import { defaultPolicy } from '../../../src/alerts/policy.ts';
import { type AlertState, emptyState, readState } from '../../../src/alerts/state.ts';
import type { RuleId, Severity } from '../../../src/core/alert.ts';

const START = Temporal.Instant.from('2026-11-25T12:00:00Z');
const told = { installation: 'r', repeatMs: defaultPolicy.repeatMs };
const MINUTE = 60_000;

interface Like {
  readonly rule?: RuleId;
  readonly database?: string;
  readonly severity?: Severity;
  readonly holdMs?: number;
  readonly clearMs?: number;
}

function condition({ rule = 'backup-failed', database = 'shop', severity = 'warning', holdMs = 0, clearMs = 0 }: Like = {}): Condition {
  const key = keyOf(rule, database, null);
  return { key, rule, database, subject: null, severity, summary: 'wrong', detail: ['x'], hint: 'jetbackup list', holdMs, clearMs };
}

/** Steps, each at minutes after the start, with what is wrong then; gives what was told: `12 trigger warning`. */
function play(
  steps: readonly (readonly [minute: number, conditions: readonly Condition[], unknown?: readonly string[]])[],
  from = emptyState,
) {
  let state: AlertState = from;
  const log: string[] = [];
  const notices: Notice[] = [];
  for (const [minute, conditions, unknown = []] of steps) {
    const now = START.add({ milliseconds: minute * MINUTE });
    // Through its stored form each time: nothing may live beside it.
    const stored = readState(JSON.stringify(state));
    expect(stored.damaged).toBeUndefined();
    const next = advance(stored.state, { conditions, unknown }, now, told);
    state = next.state;
    notices.push(...next.notices);
    log.push(...next.notices.map(({ kind, severity }) => `${minute} ${kind} ${severity}`));
  }
  return { state, log, notices };
}

const every = (minutes: number, count: number, conditions: readonly Condition[], from = 0) =>
  Array.from({ length: count }, (_, index) => [from + index * minutes, conditions] as const);

describe('an incident', () => {
  it('is told once, and its end once', () => {
    const { log, notices } = play([...every(1, 60, [condition()]), ...every(1, 60, [], 60)]);
    expect(log).toEqual(['0 trigger warning', '60 resolve warning']);
    expect(notices[0]).toMatchObject({ dedupKey: 'jetbackup/r/backup-failed/shop', database: 'shop', since: '2026-11-25T12:00:00.000Z' });
    expect(new Set(notices.map(({ id }) => id)).size).toBe(2);
    expect(new Set(notices.map(({ dedupKey }) => dedupKey)).size).toBe(1);
  });

  it('is told again each day while it holds, a critical one every four hours', () => {
    expect(play(every(60, 50, [condition()])).log).toEqual(['0 trigger warning', '1440 repeat warning', '2880 repeat warning']);
    expect(play(every(60, 9, [condition({ severity: 'critical' })])).log).toEqual([
      '0 trigger critical',
      '240 repeat critical',
      '480 repeat critical',
    ]);
  });

  it('is told at once when it gets worse, and goes on with the shorter interval', () => {
    const { log } = play([[0, [condition()]], ...every(60, 6, [condition({ severity: 'critical' })], 30)]);
    expect(log).toEqual(['0 trigger warning', '30 trigger critical', '270 repeat critical']);
  });

  it('resolves with the highest severity that it had, so that whoever was told hears of the end', () => {
    const { log } = play([
      [0, [condition({ severity: 'critical' })]],
      [1, [condition()]],
      [2, []],
    ]);
    expect(log).toEqual(['0 trigger critical', '2 resolve critical']);
  });

  it('that has not held long enough is nobody’s business', () => {
    const slow = condition({ holdMs: 10 * MINUTE });
    expect(
      play([
        [0, [slow]],
        [9, [slow]],
        [10, []],
        [11, [slow]],
        [20, [slow]],
        [21, [slow]],
      ]).log,
    ).toEqual(['21 trigger warning']);
  });

  it('that comes back before its end counts has not ended', () => {
    const flapping = condition({ clearMs: 10 * MINUTE });
    const steps = Array.from({ length: 600 }, (_, minute) => [minute, minute % 10 === 0 ? [flapping] : []] as const);
    expect(play(steps).log).toEqual(['0 trigger warning']);
  });

  it('that comes back again and again is told ever more rarely', () => {
    const steps = Array.from({ length: 24 * 60 }, (_, minute) => [minute, minute % 2 === 0 ? [condition()] : []] as const);
    expect(play(steps).log.length).toBeLessThan(8);
  });

  it('stays open while nothing can be told, and is not recovered by that', () => {
    const { key } = condition();
    const { log } = play([[0, [condition()]], ...every(60, 30, [], 0).map(([minute]) => [minute + 1, [], [key]] as const), [1900, []]]);
    expect(log).toEqual(['0 trigger warning', '1441 repeat warning', '1900 resolve warning']);
  });

  it('of a database that is no longer configured ends', () => {
    expect(
      play([
        [0, [condition()]],
        [1, []],
      ]).log,
    ).toEqual(['0 trigger warning', '1 resolve warning']);
  });

  it('is not silenced by a clock that is set back', () => {
    const { log } = play([
      [60 * 24 * 365, [condition()]],
      [0, [condition()]],
      [1440, [condition()]],
    ]);
    expect(log).toEqual(['525600 trigger warning', '1440 repeat warning']);
  });
});

describe('an acknowledged incident', () => {
  const acknowledged = (until: string | null, severity: Severity = 'warning') => {
    const { state } = play([[0, [condition({ severity })]]]);
    const done = acknowledge(state, condition().key, { by: 'ops', until }, START.add({ minutes: 5 }), 'r');
    expect(done?.notice).toMatchObject({ kind: 'acknowledge', dedupKey: 'jetbackup/r/backup-failed/shop' });
    return done?.state ?? emptyState;
  };

  it('is quiet until it is over', () => {
    expect(play([...every(60, 100, [condition()], 60), [6100, []]], acknowledged(null)).log).toEqual(['6100 resolve warning']);
  });

  it('is told again after the time that was said', () => {
    expect(play(every(60, 48, [condition()], 60), acknowledged('2026-11-27T00:00:00Z')).log).toEqual(['2160 repeat warning']);
  });

  it('is told when it gets worse, which is not what was acknowledged', () => {
    const worse = condition({ severity: 'critical' });
    expect(
      play(
        [
          [10, [worse]],
          [260, [worse]],
        ],
        acknowledged(null),
      ).log,
    ).toEqual(['10 trigger critical', '260 repeat critical']);
  });

  it('must be open', () => {
    expect(acknowledge(emptyState, 'backup-failed/shop', { by: 'ops', until: null }, START, 'r')).toBeUndefined();
    const { state } = play([
      [0, [condition()]],
      [1, []],
    ]);
    expect(acknowledge(state, 'backup-failed/shop', { by: 'ops', until: null }, START, 'r')).toBeUndefined();
  });
});

describe('whatever comes and goes', () => {
  const kinds = fc.constantFrom<RuleId>('backup-failed', 'collapse', 'storage-nearly-full');
  const arbitrary = fc.record({
    rule: kinds,
    database: fc.constantFrom('shop', 'crm'),
    severity: fc.constantFrom<Severity>('info', 'warning', 'critical'),
  });
  const distinct = fc.uniqueArray(arbitrary, { selector: ({ rule, database }) => `${rule}/${database}`, maxLength: 6 });
  const damping = fc.record({ holdMs: fc.constantFrom(0, 5 * MINUTE), clearMs: fc.constantFrom(0, 10 * MINUTE) });
  const history = fc.tuple(fc.array(fc.tuple(fc.integer({ min: 1, max: 30 }), distinct), { maxLength: 40 }), damping);

  const steps = (changes: readonly (readonly [number, readonly Like[]])[], damp: Like) => {
    let minute = 0;
    return changes.map(([wait, likes]) => {
      minute += wait;
      return [minute, likes.map((like) => condition({ ...like, ...damp }))] as const;
    });
  };

  it('every incident is opened once and ended once, in turn', async () => {
    await fc.assert(
      fc.property(history, ([changes, damp]) => {
        const played = steps(changes, damp);
        const last = played.at(-1)?.[0] ?? 0;
        // Long enough for every wait to end.
        const { notices, state } = play([...played, [last + 1, []], [last + 24 * 60, []], [last + 50 * 60, []]]);
        for (const own of Map.groupBy(notices, ({ dedupKey }) => dedupKey).values()) {
          let open = false;
          for (const { kind } of own) {
            if (kind === 'resolve') expect(open).toBe(true);
            if (kind === 'repeat') expect(open).toBe(true);
            open = kind !== 'resolve';
          }
          expect(open).toBe(false);
        }
        expect(state.incidents).toEqual({});
      }),
    );
  });

  it('what holds is always told, unless it has not held long enough', async () => {
    await fc.assert(
      fc.property(history, ([changes, damp]) => {
        const { state } = play(steps(changes, damp));
        const holding = changes.at(-1)?.[1] ?? [];
        for (const like of holding) expect(['open', 'held']).toContain(state.incidents[condition(like).key]?.phase);
        for (const incident of Object.values(state.incidents)) expect(incident.toldAt === null).toBe(incident.phase === 'held');
        if (damp.holdMs === 0) for (const like of holding) expect(state.incidents[condition(like).key]?.phase).toBe('open');
      }),
    );
  });

  it('in a day of flapping at any rhythm there is no storm', async () => {
    const rhythm = fc.array(fc.integer({ min: 1, max: 240 }), { minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.property(rhythm, fc.constantFrom<Severity>('warning', 'critical'), (waits, severity) => {
        const changes: (readonly [number, readonly Condition[]])[] = [];
        for (let minute = 0, index = 0; minute < 24 * 60; index += 1) {
          changes.push([minute, index % 2 === 0 ? [condition({ severity })] : []]);
          minute += waits[index % waits.length] ?? 1;
        }
        // Six repeats of a critical one, and at most a pair for each doubling of the wait.
        expect(play(changes).log.length).toBeLessThanOrEqual(6 + 2 * 9);
      }),
    );
  });
});

describe('the stored state', () => {
  it.each([
    ['nothing', undefined, false],
    ['half a file', '{"format":1,', true],
    ['another format', '{"format":2}', true],
    ['a foreign document', '[]', true],
  ])('that is %s begins anew', (_, text, damaged) => {
    const read = readState(text);
    expect(read.state).toEqual(emptyState);
    expect(read.damaged !== undefined).toBe(damaged);
  });

  it('that was lost tells what is wrong once more, not more often', () => {
    const { state } = play([[0, [condition()]]]);
    const { state: anew } = readState(JSON.stringify(state).slice(1));
    expect(play(every(1, 60, [condition()], 1), anew).log).toEqual(['1 trigger warning']);
  });

  it('that a second instance reads tells nothing twice', () => {
    const { state } = play([[0, [condition()]]]);
    expect(play([[1, [condition()]]], readState(JSON.stringify(state)).state).log).toEqual([]);
  });
});
