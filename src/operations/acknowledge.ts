import type { AlertTarget, Notice } from '../alerts/alert.ts';
import { acknowledge } from '../alerts/incidents.ts';
import { sendNotices } from '../alerts/round.ts';
import type { AlertState, Incident } from '../alerts/state.ts';
import { type RuleId, severities } from '../core/alert.ts';
import { isJetbackupError, JetbackupError } from '../core/errors.ts';
import { newId } from '../core/ids.ts';
import type { Clock, Instant } from '../platform/clock.ts';
import { acquireLease, type Lease } from '../storage/lease.ts';
import type { ObjectStore } from '../storage/store.ts';
import { type AcknowledgementRequest, alertStateText, leaveRequest, loadAlertState, saveAlertState } from './alert-state.ts';
import { openRepository } from './repository.ts';

export interface IncidentDeps {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly targets: readonly AlertTarget[];
  /** Who speaks: user and host. */
  readonly by: string;
}

export interface OpenIncident {
  readonly key: string;
  readonly incident: Incident;
}

export interface IncidentList {
  /** The most severe first, then the oldest. */
  readonly open: readonly OpenIncident[];
  /** Why what was told cannot be read. */
  readonly damaged: string | undefined;
}

/** What was told and is not over, by what the repository remembers. Throws `repository-missing`, and what the store throws. */
export async function listIncidents({ store }: Pick<IncidentDeps, 'store'>, signal: AbortSignal): Promise<IncidentList> {
  await openRepository({ store }, signal);
  const { state, damaged } = await loadAlertState(store, signal);
  return { open: openIn(state), damaged };
}

export function openIn(state: AlertState): readonly OpenIncident[] {
  const loud = ({ incident }: OpenIncident) => severities.indexOf(incident.severity);
  return Object.entries(state.incidents)
    .filter(([, { phase }]) => phase === 'open')
    .map(([key, incident]) => ({ key, incident }))
    .toSorted((a, b) => loud(b) - loud(a) || (a.incident.since < b.incident.since ? -1 : 1));
}

export type WhichIncidents =
  | { readonly key: string }
  /** All of this rule; of one database where that is named. */
  | { readonly rule: RuleId; readonly database: string | undefined };

export interface AcknowledgeInput {
  readonly which: WhichIncidents;
  readonly reason: string;
  /** Null: until it is over. */
  readonly until: Instant | null;
}

export interface Acknowledged {
  readonly incidents: readonly OpenIncident[];
  /** False: the service tells alerts at this moment, and takes it with its next round. */
  readonly applied: boolean;
}

/** The name of the lease under which the state is written, and one teller tells. */
export const ALERTS_LEASE = 'alerts';
const LEASE_MS = 60_000;

/**
 * Quiets open incidents until they are over, get worse, or `until`; receivers that keep incidents are told. Where a service
 * holds the lease `alerts`, it is asked to by an object that it takes away. Throws `usage` where no open incident is meant,
 * `repository-missing`, and what the store throws.
 */
export async function acknowledgeIncidents(deps: IncidentDeps, input: AcknowledgeInput, signal: AbortSignal): Promise<Acknowledged> {
  const { store, clock, by } = deps;
  const { id } = await openRepository({ store }, signal);
  const { state } = await loadAlertState(store, signal);
  const meant = chosen(state, input.which);
  let lease: Lease;
  try {
    lease = await acquireLease({ store, clock }, { name: ALERTS_LEASE, holder: `${by}, alerts ack`, ttlMs: LEASE_MS }, signal);
  } catch (error) {
    if (!isJetbackupError(error, 'locked')) throw error;
    for (const one of meant) await leaveRequest(store, newId(clock.now()), requestOf(one, input, by), signal);
    return { incidents: meant, applied: false };
  }
  await using held = lease;
  // Whoever had the lease until now may have written.
  const { state: current } = await loadAlertState(store, signal);
  const requests = chosen(current, input.which).map((one) => requestOf(one, input, by));
  const { state: quiet, notices } = takeIn(current, requests, clock.now(), id);
  const { state: told } = await sendNotices(deps, quiet, notices, signal);
  await held.assertHeld(signal);
  await saveAlertState(store, alertStateText(told), signal);
  return { incidents: chosen(told, input.which), applied: true };
}

function requestOf({ key, incident }: OpenIncident, { reason, until }: AcknowledgeInput, by: string): AcknowledgementRequest {
  return { key, since: incident.since, by, reason, until: until === null ? null : until.toString({ smallestUnit: 'millisecond' }) };
}

/** Acknowledges what is still open. Pure. Said twice is told once. */
export function takeIn(
  state: AlertState,
  requests: readonly AcknowledgementRequest[],
  now: Instant,
  installation: string,
): { readonly state: AlertState; readonly notices: readonly Notice[] } {
  let next = state;
  const notices: Notice[] = [];
  for (const { key, since, by, reason, until } of requests) {
    const before = next.incidents[key];
    if (before?.since !== since) continue;
    const { acknowledged } = before;
    if (acknowledged !== null && acknowledged.by === by && acknowledged.reason === reason && acknowledged.until === until) continue;
    const done = acknowledge(next, key, { by, reason, until }, now, installation);
    if (done === undefined) continue;
    next = done.state;
    notices.push(done.notice);
  }
  return { state: next, notices };
}

function chosen(state: AlertState, which: WhichIncidents): readonly OpenIncident[] {
  const open = openIn(state);
  const meant = open.filter(({ key, incident }) =>
    'key' in which
      ? key === which.key
      : incident.rule === which.rule && (which.database === undefined || incident.database === which.database),
  );
  if (meant.length > 0) return meant;
  const what = 'key' in which ? `"${which.key}"` : `${which.rule}${which.database === undefined ? '' : ` of ${which.database}`}`;
  throw new JetbackupError('usage', `no incident ${what} is open`, {
    hint: open.length === 0 ? 'None is.' : `Open: ${open.map(({ key }) => key).join(', ')}.`,
  });
}
