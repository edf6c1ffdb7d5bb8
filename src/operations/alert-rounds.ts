import type { AlertTarget, Notice } from '../alerts/alert.ts';
import type { Delivery } from '../alerts/deliver.ts';
import type { Facts } from '../alerts/facts.ts';
import { farewell } from '../alerts/incidents.ts';
import type { AlertPolicy } from '../alerts/policy.ts';
import { alertRound, sendNotices } from '../alerts/round.ts';
import { type AlertState, emptyState } from '../alerts/state.ts';
import { isJetbackupError, type JetbackupError, messageOf } from '../core/errors.ts';
import type { RandomBytes } from '../core/ids.ts';
import type { Clock } from '../platform/clock.ts';
import { within } from '../platform/deadline.ts';
import { acquireLease, type Lease } from '../storage/lease.ts';
import type { ObjectStore } from '../storage/store.ts';
import { ALERTS_LEASE, type OpenIncident, openIn, takeIn } from './acknowledge.ts';
import { joined, provisionalName, toldSince } from './alert-handover.ts';
import { alertStateText, lastingText, loadAlertState, lookIntoAlerts, saveAlertState, type Waiting } from './alert-state.ts';
import { openRepository } from './repository.ts';

export interface AlertRoundsDeps {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly random?: RandomBytes;
}

export interface AlertRoundsOptions {
  readonly targets: readonly AlertTarget[];
  readonly policy: AlertPolicy;
  /** For the message to whoever is kept out: host, process id. */
  readonly holder: string;
}

export interface RoundResult {
  /**
   * `teller`: this process holds the lease `alerts`. `listener`: another one does, or did a moment ago; nothing was told here.
   * `alone`: the repository is away, and this process tells by what it remembers.
   */
  readonly role: 'teller' | 'listener' | 'alone';
  readonly deliveries: readonly Delivery[];
  /** What is open, as far as this process knows: a listener knows nothing of it. */
  readonly open: readonly OpenIncident[];
  /** Why the repository could not be read or written; whatever was told is written with a later round. */
  readonly error: JetbackupError | undefined;
  /** Why the stored state could not be read. It began anew, so what is wrong is told once more. */
  readonly damaged: string | undefined;
}

/** Disposing gives the lease back, so that another process need not wait for it to run out. */
export interface AlertRounds extends AsyncDisposable {
  /**
   * One round, to be called each minute or so; calls wait for each other. It takes half a minute at most for each way to the
   * repository, and two minutes for each of up to two turns of deliveries. Throws the signal's reason, and what is no error of the catalogue.
   */
  round(facts: Omit<Facts, 'channels'>, signal: AbortSignal): Promise<RoundResult>;
}

/** After a crash another process waits for two of these. Each renewal (every third of it) is a PUT and some looks. */
const LEASE_MS = 3 * 60_000;
/** For each way to the repository. Shorter than the lease, so that a late write of ours cannot meet the next teller. */
const STORE_MS = 30_000;
/** A listener that cannot see whether anybody tells any more takes it on itself after so long: rather twice than not at all. */
const LISTENS_MS = 30 * 60_000;
/** Our own lease that ran out in an outage keeps us out for two ttl; somebody who keeps us out for longer is another one. */
const OWN_LEASE_MS = 3 * LEASE_MS;
/** The words of an open incident change each minute, with how old it is. They are written this often. */
const WORDS_MS = 15 * 60_000;

/**
 * Rounds of alerting over the state in the repository, so that of several processes one tells, and a restart tells nothing again.
 *
 * - The state is read when the lease is taken, and written after what was told: a crash in between tells twice, never not at all.
 * - While the repository is away, whoever told before goes on from memory, so that the outage itself is told. What it
 *   told meanwhile is joined to the stored state when the repository is back.
 * - A listener begins to tell after half an hour without the repository: the teller may have died with it.
 */
export function createAlertRounds({ store, clock, random }: AlertRoundsDeps, { targets, policy, holder }: AlertRoundsOptions): AlertRounds {
  let lease: Lease | undefined;
  /** Whether the state was read since the lease was taken. */
  let isLoaded = false;
  let repository: string | undefined;
  /** At the last sight of the repository; undefined where there was none yet. */
  let seen: { readonly role: 'teller' | 'listener'; readonly ms: number } | undefined;
  /** Since when another's lease keeps us out without a break, monotonic ms. */
  let keptOutSince: number | undefined;
  let state: AlertState = emptyState;
  /** What lies in the repository, as far as we know. */
  let stored: { readonly state: AlertState; readonly text: string | undefined; readonly ms: number } = {
    state: emptyState,
    text: undefined,
    ms: clock.monotonicMs(),
  };
  /** Whose name `state` was told under. */
  let installation: string | undefined;
  /** Ends that are to be told with the next deliveries. */
  let farewells: readonly Notice[] = [];

  const inTime = <T>(signal: AbortSignal, work: (limit: AbortSignal) => Promise<T>): Promise<T> =>
    within(clock, STORE_MS, work, { signal });

  async function dropLease(): Promise<void> {
    const lost = lease;
    lease = undefined;
    await lost?.[Symbol.asyncDispose]();
  }

  /** Throws `locked` where another one has the lease. */
  async function holdLease(signal: AbortSignal): Promise<void> {
    if (lease !== undefined) {
      try {
        return await lease.assertHeld(signal);
      } catch (error) {
        if (!isJetbackupError(error, 'locked')) throw error;
        await dropLease();
      }
    }
    // Each time: a directory may be unmounted by now, and a lease in the empty one would mean nothing.
    repository = (await openRepository({ store }, signal)).id;
    const deps = { store, clock, ...(random === undefined ? {} : { random }) };
    isLoaded = false;
    lease = await acquireLease(deps, { name: ALERTS_LEASE, holder, ttlMs: LEASE_MS }, signal);
  }

  /** After taking the lease. Gives why the stored state was damaged. */
  async function load(id: string, signal: AbortSignal): Promise<string | undefined> {
    const found = await loadAlertState(store, signal);
    const own = toldSince(stored.state, state);
    if (installation !== undefined && installation !== id) {
      // Told before the repository could be read for the first time: receivers know it by a name that ends here.
      farewells = farewell(state, own, clock.now(), installation);
      state = found.state;
    } else if (found.text !== stored.text) {
      state = joined(found.state, state, own);
    }
    stored = { state: found.state, text: found.text, ms: clock.monotonicMs() };
    installation = id;
    isLoaded = true;
    return found.damaged;
  }

  async function look(signal: AbortSignal): Promise<Awaited<ReturnType<typeof lookIntoAlerts>>> {
    const inbox = await lookIntoAlerts(store, signal);
    // Somebody removed it; or the directory is no longer mounted, and must not be filled with what another one will hide.
    if (!inbox.hasState && stored.text !== undefined) await openRepository({ store }, signal);
    return inbox;
  }

  async function deliverRound(facts: Omit<Facts, 'channels'>, waiting: readonly Waiting[], signal: AbortSignal): Promise<Delivery[]> {
    const name = installation ?? repository ?? provisionalName(store);
    installation = name;
    const requests = waiting.flatMap(({ request }) => (request === undefined ? [] : [request]));
    const { state: quiet, notices } = takeIn(state, requests, clock.now(), name);
    const first = await sendNotices({ clock, targets }, quiet, [...farewells, ...notices], signal);
    const second = await alertRound({ clock, targets, policy, installation: name }, { facts, state: first.state }, signal);
    // Only now: what an abort cuts short is done once more.
    state = second.state;
    farewells = [];
    return [...first.deliveries, ...second.deliveries];
  }

  async function save(held: Lease, hasState: boolean, waiting: readonly Waiting[], signal: AbortSignal): Promise<void> {
    const text = alertStateText(state);
    const isNews = !hasState || lastingText(state) !== lastingText(stored.state);
    if (text !== stored.text && (isNews || clock.monotonicMs() - stored.ms >= WORDS_MS)) {
      await held.assertHeld(signal);
      await saveAlertState(store, text, signal);
      stored = { state, text, ms: clock.monotonicMs() };
    }
    for (const { at } of waiting) await store.delete(at, signal);
  }

  async function tell(facts: Omit<Facts, 'channels'>, signal: AbortSignal): Promise<RoundResult> {
    let damaged: string | undefined;
    let inbox: Awaited<ReturnType<typeof lookIntoAlerts>>;
    try {
      await inTime(signal, holdLease);
      if (!isLoaded) damaged = await inTime(signal, (limit) => load(repository ?? '', limit));
      inbox = await inTime(signal, (limit) => look(limit));
    } catch (error) {
      signal.throwIfAborted();
      if (isJetbackupError(error, 'locked')) return await listen(signal);
      return await tellAlone(facts, known(error), signal);
    }
    seen = { role: 'teller', ms: clock.monotonicMs() };
    keptOutSince = undefined;
    const deliveries = await deliverRound(facts, inbox.waiting, signal);
    let error: JetbackupError | undefined;
    const held = lease;
    if (held !== undefined) {
      error = await inTime(signal, (limit) => save(held, inbox.hasState, inbox.waiting, limit)).then(
        () => undefined,
        (thrown: unknown) => {
          signal.throwIfAborted();
          return known(thrown);
        },
      );
    }
    return { role: 'teller', deliveries, open: openIn(state), error, damaged };
  }

  async function listen(signal: AbortSignal): Promise<RoundResult> {
    const ms = clock.monotonicMs();
    keptOutSince ??= ms;
    const quiet = { role: 'listener', deliveries: [], open: [], error: undefined, damaged: undefined } as const;
    const own = toldSince(stored.state, state);
    if (own.size > 0 && ms - keptOutSince < OWN_LEASE_MS) return quiet;
    seen = { role: 'listener', ms };
    if (own.size === 0) {
      forget();
      return quiet;
    }
    // Told here in an outage, and another one tells now: what that one knows of is its own, of the rest nobody else will tell the end.
    try {
      const found = await inTime(signal, (limit) => loadAlertState(store, limit));
      const isTheirs = (key: string) => installation === repository && found.state.incidents[key]?.phase === 'open';
      const notices = farewell(state, new Set([...own].filter((key) => !isTheirs(key))), clock.now(), installation ?? '');
      const { deliveries } = await sendNotices({ clock, targets }, emptyState, notices, signal);
      forget();
      return { ...quiet, deliveries };
    } catch (error) {
      signal.throwIfAborted();
      return { ...quiet, error: known(error) };
    }
  }

  /** Another one's state is read when the lease is taken, and not before. */
  function forget(): void {
    state = emptyState;
    stored = { state: emptyState, text: undefined, ms: clock.monotonicMs() };
    installation = undefined;
    farewells = [];
  }

  async function tellAlone(facts: Omit<Facts, 'channels'>, error: JetbackupError, signal: AbortSignal): Promise<RoundResult> {
    keptOutSince = undefined;
    if (seen?.role === 'listener' && clock.monotonicMs() - seen.ms < LISTENS_MS) {
      return { role: 'listener', deliveries: [], open: [], error, damaged: undefined };
    }
    const { location } = store;
    const outage = { ...facts, repository: { location, ...facts.repository, failure: { code: error.code, message: error.message } } };
    const deliveries = await deliverRound(outage, [], signal);
    return { role: 'alone', deliveries, open: openIn(state), error, damaged: undefined };
  }

  let last: Promise<unknown> = Promise.resolve();
  return {
    round(facts, signal) {
      const own = last.then(() => tell(facts, signal));
      last = own.catch(() => {});
      return own;
    },
    async [Symbol.asyncDispose]() {
      await last;
      await dropLease();
    },
  };
}

/** Only the errors of the catalogue say that the repository is away. */
function known(error: unknown): JetbackupError {
  if (isJetbackupError(error)) return error;
  throw new Error(`alerting failed: ${messageOf(error)}`, { cause: error });
}
