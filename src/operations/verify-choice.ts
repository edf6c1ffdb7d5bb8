import type { RetentionPlan } from '../../retention/plan.ts';
import type { RecoveryPoint } from '../../retention/points.ts';
import { findBackup, listCommitted } from '../catalog/catalog.ts';
import type { Moment } from '../catalog/moment.ts';
import type { DatabaseName, Id } from '../core/ids.ts';
import { type DatabaseSurvey, type RetentionDeps, type RetentionInput, surveyRetention } from './retention.ts';

/** What a choice is made by. */
export interface Candidate {
  readonly point: RecoveryPoint;
  /** Epoch ms of its newest good verification; undefined where it has none. */
  readonly provenAt: number | undefined;
  /** How long it is going to stay: by a monthly or yearly slot, a pin or a promise; by a weekly one; by less. */
  readonly stays: 'long' | 'weeks' | 'days';
}

export function candidatesOf({ points, proofs, plan }: Pick<DatabaseSurvey, 'points' | 'proofs' | 'plan'>): Candidate[] {
  const stays = staysOf(plan);
  return points.map((point) => {
    const proof = proofs.get(point.id);
    return {
      point,
      provenAt: proof?.outcome === 'proven' ? Date.parse(proof.startedAt) : undefined,
      stays: stays.get(point.id) ?? 'days',
    };
  });
}

function staysOf(plan: RetentionPlan): ReadonlyMap<string, Candidate['stays']> {
  return new Map(
    plan.keep.map(({ point, reasons }) => {
      const long = reasons.some(
        (reason) =>
          reason.kind === 'pin' ||
          reason.kind === 'keep-until' ||
          (reason.kind === 'tier' && (reason.tier === 'monthly' || reason.tier === 'yearly')),
      );
      const weeks = reasons.some((reason) => reason.kind === 'tier' && reason.tier === 'weekly');
      return [point.id, long ? 'long' : weeks ? 'weeks' : 'days'];
    }),
  );
}

/** Every backup that no verification has looked at, newest first: the newest is the one that is wanted when it matters. */
export function chooseUnproven(candidates: readonly Candidate[]): Id[] {
  return candidates
    .filter(({ point }) => point.proof === 'unproven')
    .map(({ point }) => point.id)
    .reverse();
}

/**
 * Backups whose turn it is: those that have gone longest without a good verification, or without one at all since they were made.
 * Backups that stay long come before those that will be gone soon, so that over a year each monthly one is proven again; the
 * newest is left out, which a plain verification looks at.
 */
export function chooseSample(candidates: readonly Candidate[], count: number): Id[] {
  const order = { long: 0, weeks: 1, days: 2 };
  const since = ({ point, provenAt }: Candidate) => Math.max(point.instant, provenAt ?? Number.NEGATIVE_INFINITY);
  return candidates
    .slice(0, -1)
    .filter(({ point }) => point.state === 'ok')
    .toSorted((a, b) => order[a.stays] - order[b.stays] || since(a) - since(b) || (a.point.id < b.point.id ? -1 : 1))
    .slice(0, count)
    .map(({ point }) => point.id);
}

/** Which backups of a database to verify. */
export type Choice =
  | { readonly kind: 'moment'; readonly moment: Moment }
  | { readonly kind: 'unproven' }
  | { readonly kind: 'sample'; readonly count: number };

/**
 * The ids of the backups that are meant. Nothing is authenticated here: a manifest that cannot be trusted is for the verification to
 * find. Throws `no-backup` where a moment names none, `damaged` where a manifest has to be read to tell and cannot be, and what the
 * store throws.
 */
export async function chooseBackups(
  deps: RetentionDeps,
  input: { readonly database: DatabaseName; readonly choice: Choice; readonly retention: RetentionInput },
  signal: AbortSignal,
): Promise<Id[]> {
  const { database, choice } = input;
  if (choice.kind === 'moment') {
    if (choice.moment.kind === 'id') return [choice.moment.id];
    const newest = choice.moment.kind === 'latest' ? await newestOf(deps, database, signal) : undefined;
    if (newest !== undefined) return [newest];
    return [(await findBackup(deps.store, database, choice.moment, () => {}, signal)).id];
  }
  const survey = await surveyRetention(deps, input.retention, signal);
  const found = survey.databases.find(({ of }) => of.database === database);
  const candidates = found === undefined ? [] : candidatesOf(found);
  return choice.kind === 'unproven' ? chooseUnproven(candidates) : chooseSample(candidates, choice.count);
}

/** By id, so that a newest manifest that nobody can read is found, and does not end the search. */
async function newestOf({ store }: RetentionDeps, database: DatabaseName, signal: AbortSignal): Promise<Id | undefined> {
  let newest: Id | undefined;
  for await (const { id } of listCommitted(store, database, signal)) newest = id;
  return newest;
}
