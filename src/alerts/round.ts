import { Temporal } from 'temporal-polyfill';
import type { JetbackupError } from '../core/errors.ts';
import type { Clock, Instant } from '../platform/clock.ts';
import { type AlertTarget, type Notice, RetryLater, TakenInPart, wants } from './alert.ts';
import { type Delivery, type DeliveryJob, deliver } from './deliver.ts';
import type { ChannelFacts, Facts } from './facts.ts';
import { advance } from './incidents.ts';
import type { AlertPolicy } from './policy.ts';
import { evaluate } from './rules.ts';
import { type AlertState, type ChannelHealth, msSince, storedInstant } from './state.ts';

export interface RoundDeps {
  readonly clock: Clock;
  readonly targets: readonly AlertTarget[];
  readonly policy: AlertPolicy;
  /** The repository's id. */
  readonly installation: string;
}

/** A channel that fails is tried again after 1, 2, 4 … minutes, 15 at most; after Retry-After where that is longer. */
const FIRST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 15 * 60_000;
/** What could not be told for so long is no news any more; what still holds is repeated anyway. */
const OUTBOX_MS = 7 * 86_400_000;
/** For how long a channel counts as failing because of a notice that is not sent again: nothing of it will show whether it still does. */
const SETTLED_MS = 86_400_000;

/**
 * One round of alerting: rules, incidents, deliveries, and a second time for what the deliveries themselves showed, so that
 * a channel that fails is reported through the others at once. The caller stores the new state afterwards: a crash in
 * between tells something twice, never not at all. Throws only the signal's reason.
 */
export async function alertRound(
  deps: RoundDeps,
  input: { readonly facts: Omit<Facts, 'channels'>; readonly state: AlertState },
  signal: AbortSignal,
): Promise<{ readonly state: AlertState; readonly deliveries: readonly Delivery[] }> {
  const first = await halfRound(deps, input.facts, input.state, signal);
  const changed = deps.targets.some(({ channel: { name } }) => name in first.state.failing !== name in input.state.failing);
  if (!changed) return first;
  const second = await halfRound(deps, { ...input.facts, now: deps.clock.now() }, first.state, signal);
  return { state: second.state, deliveries: [...first.deliveries, ...second.deliveries] };
}

/** Sends further notices (an acknowledgement) and records how that went. */
export async function sendNotices(
  { clock, targets }: Pick<RoundDeps, 'clock' | 'targets'>,
  state: AlertState,
  notices: readonly Notice[],
  signal: AbortSignal,
): Promise<{ readonly state: AlertState; readonly deliveries: readonly Delivery[] }> {
  const waiting = queued(state, targets, notices, clock.now());
  const due = waiting.filter(({ channel: { name } }) => {
    const health = state.failing[name];
    // It refused what it was sent, which may be that notice's fault: a new one is not held back for it.
    const isWorthAnother =
      health?.code === 'alert-refused' && waiting.some((job) => job.channel.name === name && notices.includes(job.notice));
    return isWorthAnother || isDue(health, clock.now());
  });
  const deliveries = await deliver(clock, due, signal);
  return { state: recorded(state, targets, waiting, deliveries, clock.now()), deliveries };
}

async function halfRound(
  { clock, targets, policy, installation }: RoundDeps,
  facts: Omit<Facts, 'channels'>,
  state: AlertState,
  signal: AbortSignal,
) {
  const evaluation = evaluate({ ...facts, channels: channelFacts(state, targets) }, policy);
  const next = advance(state, evaluation, facts.now, { installation, repeatMs: policy.repeatMs });
  return await sendNotices({ clock, targets }, next.state, next.notices, signal);
}

/** How the configured channels fare, by what the state remembers of the last delivery. */
export function channelFacts(state: AlertState, targets: readonly AlertTarget[]): ChannelFacts[] {
  return targets.map(({ channel: { name } }) => {
    const health = state.failing[name];
    if (health === undefined) return { name, failure: null };
    const { failingSince, code, message, settled } = health;
    return { name, failure: { since: Temporal.Instant.from(failingSince), code, message, settled } };
  });
}

/** What waits and what is new, for each channel in order; of one incident only the newest: that is how it stands now. */
function queued(state: AlertState, targets: readonly AlertTarget[], notices: readonly Notice[], now: Instant): DeliveryJob[] {
  return targets.flatMap((target) => {
    const old = state.outbox.filter(
      ({ channel, notice }) => channel === target.channel.name && msSince(notice.at, now) < OUTBOX_MS && wants(target, notice),
    );
    const all = [...old.map(({ notice }) => notice), ...notices.filter((notice) => wants(target, notice))];
    const newest = all.filter(({ dedupKey }, index) => !all.slice(index + 1).some((later) => later.dedupKey === dedupKey));
    return newest.map((notice) => ({ channel: target.channel, notice }));
  });
}

/** A clock that was set back does not make a channel wait for longer than the longest pause. */
function isDue(health: ChannelHealth | undefined, now: Instant): boolean {
  return health === undefined || msSince(health.nextAttemptAt, now) >= 0 || msSince(health.failingSince, now) < 0;
}

function recorded(
  state: AlertState,
  targets: readonly AlertTarget[],
  waiting: readonly DeliveryJob[],
  deliveries: readonly Delivery[],
  now: Instant,
): AlertState {
  const failing = { ...state.failing };
  for (const [name, own] of Map.groupBy(deliveries, ({ channel }) => channel)) {
    const failure = own.findLast((delivery) => delivery.error !== undefined);
    if (failure?.error === undefined) delete failing[name];
    else failing[name] = healthAfter(state.failing[name], failure.error, isSettled(failure, own), now);
  }
  const settled = deliveries.filter((one) =>
    isSettled(
      one,
      deliveries.filter(({ channel }) => channel === one.channel),
    ),
  );
  const delivered = new Set(settled.map(({ channel, notice }) => `${channel} ${notice.id}`));
  const outbox = waiting
    .map(({ channel, notice }) => ({ channel: channel.name, notice }))
    .filter(({ channel, notice }) => !delivered.has(`${channel} ${notice.id}`));
  const configured = new Set(targets.map(({ channel }) => channel.name));
  const isKnownToFail = ([name, { nextAttemptAt, settled }]: [string, ChannelHealth]) =>
    configured.has(name) && (!settled || msSince(nextAttemptAt, now) < SETTLED_MS);
  return { ...state, failing: Object.fromEntries(Object.entries(failing).filter(isKnownToFail)), outbox };
}

/**
 * Whether this notice is not sent through this channel again: taken, also by some of its recipients only; or refused by a
 * receiver that took another one beside it. To keep that one would hold up all the others for as long as it is news.
 */
function isSettled({ error }: Delivery, ofChannel: readonly Delivery[]): boolean {
  if (error === undefined || error.cause instanceof TakenInPart) return true;
  return error.code === 'alert-refused' && ofChannel.some((other) => other.error === undefined);
}

function healthAfter(before: ChannelHealth | undefined, error: JetbackupError, isOver: boolean, now: Instant): ChannelHealth {
  // What the channel takes is not held back for the sake of what it does not.
  const attempts = isOver ? 1 : (before?.attempts ?? 0) + 1;
  const pause = isOver ? 0 : Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(10, attempts - 1));
  const asked = error.cause instanceof RetryLater ? error.cause.afterMs : 0;
  return {
    failingSince: before?.failingSince ?? storedInstant(now),
    attempts,
    nextAttemptAt: storedInstant(now.add({ milliseconds: Math.round(Math.max(pause, asked)) })),
    code: error.code,
    message: error.message,
    settled: isOver,
  };
}
