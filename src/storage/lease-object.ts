import type { Temporal } from 'temporal-polyfill';
import * as z from 'zod';
import { bytesOf, KiB } from '../core/bytes.ts';
import { readJsonObject } from './json-object.ts';
import type { Key, ObjectStore } from './store.ts';

/** Below it the second that a store's dates are rounded to, and the settling of a race, would no longer be small. */
export const MIN_TTL_MS = 10_000;
export const MAX_TTL_MS = 24 * 60 * 60 * 1000;
const MAX_HOLDER = 200;

/** What stands in one object of a lease; FORMAT.md is the normative text. Nobody but the one with the token writes it. */
const LeaseContentSchema = z.object({
  token: z.string().regex(/^[0-9a-f]{32}$/),
  /** For people, and shown on terminals: nothing that could steer one. */
  holder: z
    .string()
    .max(MAX_HOLDER)
    .regex(/^\P{C}*$/u),
  ttlMs: z.int().min(MIN_TTL_MS).max(MAX_TTL_MS),
  takenAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
  released: z.boolean(),
});
export type LeaseContent = z.infer<typeof LeaseContentSchema>;

/** One lease in one repository. */
export interface LeasePlace {
  readonly store: ObjectStore;
  readonly name: string;
}

/** One object of it, and who put it. */
export interface LeaseEntry extends LeasePlace {
  readonly number: number;
  readonly token: string;
}

const prefixOf = ({ name }: LeasePlace): string => `leases/${name}/`;
const numbered = /^(\d{8})[.]json$/;
/** What a run that was killed while it asked for the time left behind. */
const clockName = /^clock-[0-9a-f]{32}[.]json$/;

export function leaseKey(place: LeasePlace, number: number): Key {
  return `${prefixOf(place)}${String(number).padStart(8, '0')}.json`;
}

/** The text without what could steer a terminal, and not too long. */
export function printable(holder: string): string {
  return holder.replaceAll(/\p{C}/gu, '?').slice(0, MAX_HOLDER);
}

export interface LeaseFolder {
  /** Numbers of the objects, lowest first. */
  readonly numbers: readonly number[];
  readonly clocks: readonly Key[];
}

export async function listLease(place: LeasePlace, signal: AbortSignal): Promise<LeaseFolder> {
  const prefix = prefixOf(place);
  const numbers: number[] = [];
  const clocks: Key[] = [];
  for await (const { key } of place.store.list(prefix, signal)) {
    const name = key.slice(prefix.length);
    const number = numbered.exec(name)?.[1];
    if (number !== undefined) numbers.push(Number(number));
    else if (clockName.test(name)) clocks.push(key);
  }
  return { numbers, clocks };
}

/** Undefined where there is no such object; `unreadable` where what is in it is not a lease's. */
export async function readLease(place: LeasePlace, number: number, signal: AbortSignal): Promise<LeaseContent | 'unreadable' | undefined> {
  return await readJsonObject(place.store, leaseKey(place, number), { schema: LeaseContentSchema, mostBytes: 16 * KiB }, signal);
}

export async function writeLease(
  place: LeasePlace,
  number: number,
  content: LeaseContent,
  options: { readonly ifAbsent?: boolean; readonly signal: AbortSignal },
): Promise<void> {
  const body = `${JSON.stringify(content, null, 1)}\n`;
  await place.store.put(leaseKey(place, number), bytesOf(body), { sizeHint: body.length, ...options });
}

/**
 * Whether the object is still there, still with this token, and nobody has a higher number. The next number is looked up
 * besides listing, because there are stores (Swift) whose lists lag behind what they hold.
 */
export async function stillHighest(entry: LeaseEntry, signal: AbortSignal): Promise<boolean> {
  const { numbers } = await listLease(entry, signal);
  if ((numbers.at(-1) ?? 0) > entry.number) return false;
  const content = await readLease(entry, entry.number, signal);
  if (content === undefined || content === 'unreadable' || content.token !== entry.token) return false;
  return (await entry.store.stat(leaseKey(entry, entry.number + 1), signal)) === undefined;
}

/**
 * What the store's clock says, learned from an object of our own; undefined when somebody tidied it away meanwhile.
 * Looked up, not taken from `put`'s answer: where that look-up fails a put answers with the clock of this machine.
 */
export async function storeClock(place: LeasePlace, token: string, signal: AbortSignal): Promise<Temporal.Instant | undefined> {
  const key = `${prefixOf(place)}clock-${token}.json`;
  await place.store.put(key, bytesOf('{}\n'), { signal });
  const found = await place.store.stat(key, signal);
  await place.store.delete(key, signal);
  return found?.modified;
}
