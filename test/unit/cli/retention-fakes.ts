import { detectCollapse } from '../../../retention/anomaly.ts';
import { planRetention } from '../../../retention/plan.ts';
import type { RecoveryPoint } from '../../../retention/points.ts';
import type { Operations } from '../../../src/cli/context.ts';
import type { DatabaseSurvey, RetentionInput } from '../../../src/operations/retention.ts';

/** The clock of `command-line.ts`. */
export const NOW = Date.parse('2026-11-20T12:00:00Z');
const DAY = 86_400_000;
export const GiB = 1024 ** 3;

/** A backup that can have been made at the instant of its id. */
export function point(id: string, rest: Partial<RecoveryPoint> = {}): RecoveryPoint {
  const [, y = '', mo = '', d = '', h = '', mi = '', s = ''] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/.exec(id) ?? [];
  const instant = Date.parse(`${y}-${mo}-${d}T${h}:${mi}:${s}Z`);
  return { id, database: 'shop', instant, state: 'ok', proof: 'unproven', bytes: GiB, rows: 100, plainBytes: 1000, ...rest };
}

/** One backup a day at 02:00 UTC, `count` of them, the newest on 20 November 2026. */
export function nightly(count: number, rest: (index: number) => Partial<RecoveryPoint> = () => ({})): RecoveryPoint[] {
  return Array.from({ length: count }, (_, index) => {
    const instant = Date.parse('2026-11-20T02:00:00Z') - (count - 1 - index) * DAY;
    const stamp = new Date(instant).toISOString().replaceAll(/[-:]|\.\d+/g, '');
    return point(`${stamp}-aaaaaa`, rest(index));
  });
}

/** What a survey says of these backups: the real plan. */
export function surveyOf(points: readonly RecoveryPoint[], input: RetentionInput): DatabaseSurvey[] {
  return input.databases.map((of) => {
    const own = points.filter(({ database }) => database === of.database);
    const collapse = of.collapseRatio === 0 ? undefined : detectCollapse(own, { ratio: of.collapseRatio });
    const frozen = new Map(collapse === undefined ? [] : [[of.database, collapse.why]]);
    const plan = planRetention(own, of.policy, { now: NOW, timeZone: input.timeZone, frozen });
    return { of, folders: [], proofs: new Map(), points: own, plan, history: [], frozenBy: collapse?.pointId, collapse };
  });
}

export function surveying(backups: readonly (string | RecoveryPoint)[]): Operations['surveyRetention'] {
  const points = backups.map((backup) => (typeof backup === 'string' ? point(backup) : backup));
  return async (_deps, input) => ({ repository: 'r', databases: surveyOf(points, input), runs: [], newest: new Map() });
}
