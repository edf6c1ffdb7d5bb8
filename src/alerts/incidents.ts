import { isAtLeast } from '../core/alert.ts';
import type { Instant } from '../platform/clock.ts';
import type { Notice } from './alert.ts';
import type { Condition } from './condition.ts';
import type { AlertPolicy } from './policy.ts';
import type { Evaluation } from './rules.ts';
import { type Acknowledgement, type AlertState, type Incident, msSince, storedInstant } from './state.ts';

/** For how long an incident that is over is remembered, and how many times its wait may double. */
const REMEMBERED_MS = 24 * 3_600_000;
const MOST_DOUBLINGS = 6;
/** What even a rule without damping waits when it comes back and back. */
const LEAST_FLAP_MS = 60_000;

interface Step {
  readonly incident: Incident | undefined;
  readonly tell: Notice['kind'] | undefined;
}

/** What tells one installation's incidents from another's at the same receiver: the repository's id. */
export interface Told {
  readonly installation: string;
  readonly repeatMs: AlertPolicy['repeatMs'];
}

/**
 * Takes the state one step on: what is new is told once it has held long enough, what holds is told again after its
 * interval, what gets worse at once (also where it was acknowledged: that was about something milder), what is over once.
 * What the facts say nothing about stays as it is. Pure; a clock that was set back delays a repeat by one interval at most.
 */
export function advance(
  state: AlertState,
  { conditions, unknown }: Evaluation,
  now: Instant,
  told: Told,
): { readonly state: AlertState; readonly notices: readonly Notice[] } {
  const incidents: Record<string, Incident> = {};
  const notices: Notice[] = [];
  const keep = (key: string, { incident, tell }: Step) => {
    if (incident === undefined) return;
    incidents[key] = incident;
    if (tell !== undefined) notices.push(noticeOf(key, incident, tell, now, told.installation));
  };
  for (const condition of conditions) keep(condition.key, holds(state.incidents[condition.key], condition, now, told));
  const holding = new Set(conditions.map(({ key }) => key));
  const undecided = new Set(unknown);
  for (const [key, incident] of Object.entries(state.incidents)) {
    if (holding.has(key)) continue;
    if (undecided.has(key) && incident.phase !== 'over') keep(key, repeated(incident, now, told));
    else keep(key, gone(incident, now));
  }
  return { state: { ...state, incidents }, notices };
}

/**
 * Somebody has seen it: it is quiet until then (null: until it is over), unless it gets worse. The notice lets receivers
 * that keep incidents know. Undefined where no such incident is open.
 */
export function acknowledge(
  state: AlertState,
  key: string,
  acknowledgement: Acknowledgement,
  now: Instant,
  installation: string,
): { readonly state: AlertState; readonly notice: Notice } | undefined {
  const open = state.incidents[key];
  if (open?.phase !== 'open') return undefined;
  const incident = { ...open, acknowledged: acknowledgement };
  return {
    state: { ...state, incidents: { ...state.incidents, [key]: incident } },
    notice: noticeOf(key, incident, 'acknowledge', now, installation),
  };
}

/** Tells the end of incidents that were told under a name, or by somebody, that nobody will speak for any more. */
export function farewell(state: AlertState, keys: ReadonlySet<string>, now: Instant, installation: string): readonly Notice[] {
  return Object.entries(state.incidents)
    .filter(([key, { phase }]) => phase === 'open' && keys.has(key))
    .map(([key, incident]) => noticeOf(key, incident, 'resolve', now, installation));
}

function holds(before: Incident | undefined, condition: Condition, now: Instant, told: Told): Step {
  const { rule, database, subject, severity, summary, hint, clearMs } = condition;
  const current = { rule, database, subject, severity, summary, detail: [...condition.detail], hint, clearMs };
  if (before === undefined || before.phase === 'over') {
    const fresh = { phase: 'held', toldSeverity: null, peak: severity, since: storedInstant(now), toldAt: null, goneSince: null } as const;
    const flaps = before === undefined ? 0 : Math.min(MOST_DOUBLINGS, before.flaps + 1);
    return opened({ ...current, ...fresh, flaps, acknowledged: null }, condition.holdMs, now);
  }
  const incident: Incident = { ...before, ...current, goneSince: null };
  if (before.phase === 'held') return opened(incident, condition.holdMs, now);
  const worse = before.toldSeverity === null || !isAtLeast(before.toldSeverity, severity);
  if (worse) return tell({ ...incident, acknowledged: null }, 'trigger', now);
  return repeated(incident, now, told);
}

function opened(incident: Incident, holdMs: number, now: Instant): Step {
  const held = { ...incident, since: earlier(incident.since, now) };
  if (msSince(held.since, now) < holdMs) return { incident: held, tell: undefined };
  return tell({ ...held, phase: 'open' }, 'trigger', now);
}

function tell(incident: Incident, kind: Notice['kind'], now: Instant): Step {
  const peak = isAtLeast(incident.peak, incident.severity) ? incident.peak : incident.severity;
  return { incident: { ...incident, toldAt: storedInstant(now), toldSeverity: incident.severity, peak }, tell: kind };
}

/** An open incident that holds, or may: again after its interval, unless somebody is at it. */
function repeated(before: Incident, now: Instant, { repeatMs }: Told): Step {
  if (before.phase !== 'open' || before.toldAt === null) return { incident: before, tell: undefined };
  const acknowledged = stillAcknowledged(before.acknowledged, now);
  // A clock that was set back must not silence it until the old time comes round again.
  const incident = { ...before, acknowledged, toldAt: earlier(before.toldAt, now) };
  const every = repeatMs[incident.severity];
  if (acknowledged !== null || every === 0 || msSince(incident.toldAt, now) < every) return { incident, tell: undefined };
  return tell(incident, 'repeat', now);
}

function stillAcknowledged(acknowledged: Acknowledgement | null, now: Instant): Acknowledgement | null {
  const ended = acknowledged !== null && acknowledged.until !== null && msSince(acknowledged.until, now) >= 0;
  return ended ? null : acknowledged;
}

function gone(before: Incident, now: Instant): Step {
  const nothing = { incident: undefined, tell: undefined };
  // What was never told needs no recovery.
  if (before.phase === 'held') return nothing;
  const goneSince = earlier(before.goneSince ?? storedInstant(now), now);
  const incident = { ...before, goneSince };
  if (before.phase === 'over') return msSince(goneSince, now) >= REMEMBERED_MS ? nothing : { incident, tell: undefined };
  if (msSince(goneSince, now) < waitMs(before)) return { incident, tell: undefined };
  return { incident: { ...incident, phase: 'over', goneSince: storedInstant(now), acknowledged: null }, tell: 'resolve' };
}

/** How long it must be gone: longer each time that it came back. */
function waitMs({ clearMs, flaps }: Incident): number {
  return flaps === 0 ? clearMs : Math.max(clearMs, LEAST_FLAP_MS) * 2 ** flaps;
}

function noticeOf(key: string, incident: Incident, kind: Notice['kind'], now: Instant, installation: string): Notice {
  const { rule, database, subject, summary, detail, hint } = incident;
  const over = kind === 'resolve';
  const dedupKey = `jetbackup/${installation}/${key}`;
  const at = storedInstant(now);
  return {
    id: `${dedupKey}/${kind}/${at}`,
    kind,
    rule,
    database,
    subject,
    severity: over || kind === 'acknowledge' ? incident.peak : incident.severity,
    summary,
    detail: detailOf(incident, kind, at, detail),
    dedupKey,
    since: incident.since,
    at,
    hint: over ? null : hint,
  };
}

function detailOf({ since: began, goneSince, acknowledged }: Incident, kind: Notice['kind'], at: string, detail: string[]): string[] {
  if (kind === 'resolve') return [`lasted from ${began} to ${goneSince ?? at}`];
  if (kind !== 'acknowledge' || acknowledged === null) return detail;
  const { by, reason, until } = acknowledged;
  return [`by ${by}${reason === undefined ? '' : `: ${reason}`}`, until === null ? 'quiet until it is over' : `quiet until ${until}`];
}

function earlier(then: string, now: Instant): string {
  return msSince(then, now) < 0 ? storedInstant(now) : then;
}
