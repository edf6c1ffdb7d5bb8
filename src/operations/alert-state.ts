import * as z from 'zod';
import { type AlertState, type Incident, readState } from '../alerts/state.ts';
import { ACKNOWLEDGEMENTS_PREFIX, ALERT_STATE_KEY, ALERTS_PREFIX, acknowledgementKey } from '../catalog/layout.ts';
import { bytesOf, KiB, MiB } from '../core/bytes.ts';
import type { Id } from '../core/ids.ts';
import { readText } from '../storage/json-object.ts';
import type { Key, ObjectStore } from '../storage/store.ts';

/* What alerting keeps in the repository (FORMAT.md, "Alerts"). None of it is signed, and nothing but alerting goes by it. */

/** Some thousand incidents. */
const MOST_STATE_BYTES = 16 * MiB;
/** Acknowledgements taken in at once; the next round takes the next. */
const MOST_REQUESTS = 100;

export interface StoredAlertState {
  /** As it lies there; undefined: there is none. */
  readonly text: string | undefined;
  readonly state: AlertState;
  /** Why it could not be read; then `state` is empty. */
  readonly damaged: string | undefined;
}

/** Throws what the store throws. */
export async function loadAlertState(store: ObjectStore, signal: AbortSignal): Promise<StoredAlertState> {
  try {
    const text = await readText(store, ALERT_STATE_KEY, MOST_STATE_BYTES, signal);
    return { text, ...readState(text) };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { text: '', ...readState(''), damaged: `it is larger than ${MOST_STATE_BYTES / MiB} MiB` };
  }
}

/** Throws what the store throws. */
export async function saveAlertState(store: ObjectStore, text: string, signal: AbortSignal): Promise<void> {
  await store.put(ALERT_STATE_KEY, bytesOf(text), { sizeHint: Buffer.byteLength(text), signal });
}

export function alertStateText(state: AlertState): string {
  return `${JSON.stringify(state, null, 1)}\n`;
}

/**
 * The state without what only the passing of time changes in it: how old something is stands in the words of each incident,
 * and is no reason to write every minute.
 */
export function lastingText(state: AlertState): string {
  const bare = ({ summary: _, detail: __, ...rest }: Incident) => rest;
  return JSON.stringify({
    ...state,
    incidents: Object.fromEntries(Object.entries(state.incidents).map(([key, one]) => [key, bare(one)])),
  });
}

/** What somebody said about an incident while another process held the state. */
const RequestSchema = z.strictObject({
  format: z.literal(1),
  /** Which incident; `since` keeps it from meaning a later one of the same kind. */
  key: z.string(),
  since: z.iso.datetime(),
  by: z.string(),
  reason: z.string(),
  until: z.iso.datetime().nullable(),
});
export type AcknowledgementRequest = Omit<z.infer<typeof RequestSchema>, 'format'>;

export interface Waiting {
  readonly at: Key;
  /** Undefined: it cannot be read as one. */
  readonly request: AcknowledgementRequest | undefined;
}

/** Throws what the store throws. */
export async function leaveRequest(store: ObjectStore, id: Id, request: AcknowledgementRequest, signal: AbortSignal): Promise<void> {
  await store.put(acknowledgementKey(id), bytesOf(`${JSON.stringify({ format: 1, ...request }, null, 1)}\n`), { signal });
}

/** What waits, oldest first, and whether the state is there. One LIST, and a GET for each request. Throws what the store throws. */
export async function lookIntoAlerts(
  store: ObjectStore,
  signal: AbortSignal,
): Promise<{ readonly hasState: boolean; readonly waiting: readonly Waiting[] }> {
  const keys: Key[] = [];
  let hasState = false;
  for await (const { key } of store.list(ALERTS_PREFIX, signal)) {
    if (key === ALERT_STATE_KEY) hasState = true;
    else if (key.startsWith(ACKNOWLEDGEMENTS_PREFIX) && keys.length < MOST_REQUESTS) keys.push(key);
  }
  const waiting: Waiting[] = [];
  for (const at of keys) waiting.push({ at, request: await readRequest(store, at, signal) });
  return { hasState, waiting };
}

async function readRequest(store: ObjectStore, key: Key, signal: AbortSignal): Promise<AcknowledgementRequest | undefined> {
  try {
    const parsed = RequestSchema.safeParse(JSON.parse((await readText(store, key, 64 * KiB, signal)) ?? ''));
    return parsed.data;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined;
    throw error;
  }
}
