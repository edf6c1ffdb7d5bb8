import { JetbackupError } from '../core/errors.ts';
import type { Key } from './store.ts';

/** First step of keys that adapters use for their own unfinished files; no object may live there. */
export const UNFINISHED_STEP = '.jetbackup-unfinished';

/** Where `probe` makes and removes its own objects. */
export const PROBE_PREFIX = '.jetbackup-probe/';

/**
 * S3 allows 1,024 bytes for prefix and key together, and a file system 255 for one name. The directory
 * adapter writes a whole key, its slashes as two bytes each, into the name of one temporary file.
 */
const MAX_KEY = 200;
const MAX_STEPS = 16;

const printableAscii = /^[\x20-\x7e]*$/;

function problemOf(key: string): string | undefined {
  if (key === '') return 'it is empty';
  if (key.length > MAX_KEY) return `it is longer than ${MAX_KEY} characters`;
  if (!printableAscii.test(key)) return 'it has characters other than printable ASCII';
  const steps = key.split('/');
  if (steps.length > MAX_STEPS) return `it has more than ${MAX_STEPS} steps`;
  if (steps.includes('')) return 'it starts or ends with "/" or has "//" in it';
  if (steps.includes('.') || steps.includes('..')) return 'it has a "." or ".." step';
  if (steps[0] === UNFINISHED_STEP) return `"${UNFINISHED_STEP}" is reserved for unfinished files`;
  return undefined;
}

/** Whether an object found in the store can be one of ours; what others put beside it is not shown. */
export function isKey(text: string): boolean {
  return problemOf(text) === undefined;
}

/** The key itself, or `storage-failed`: the one check that keeps every adapter inside its repository. */
export function checkedKey(key: Key): Key {
  const problem = problemOf(key);
  if (problem === undefined) return key;
  throw new JetbackupError('storage-failed', `the key ${JSON.stringify(key)} cannot be used: ${problem}`);
}

/** A prefix of keys as `list` takes it: any beginning of a key, also one that ends inside a step; empty for all. */
export function checkedPrefix(prefix: string): string {
  const inner = prefix.split('/').slice(0, -1);
  const bad = !printableAscii.test(prefix) || prefix.length > MAX_KEY || inner.some((step) => step === '' || step === '.' || step === '..');
  if (!bad) return prefix;
  throw new JetbackupError('storage-failed', `the prefix ${JSON.stringify(prefix)} cannot be used: no key can start with it`);
}

/** Ascending byte order; for ASCII the order of UTF-16 units is the same. */
export function byKey(a: { readonly key: Key }, b: { readonly key: Key }): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

export interface Range {
  readonly offset: number;
  readonly length: number;
}

/** The range itself (the whole object without one), or `storage-failed` when it does not lie inside an object of `size` bytes. */
export function checkedRange(key: Key, size: number, range: Range | undefined): Range {
  if (range === undefined) return { offset: 0, length: size };
  const { offset, length } = range;
  const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (whole && offset + length <= size) return { offset, length };
  throw new JetbackupError('storage-failed', `${length} bytes from byte ${offset} of "${key}" were asked for, and it has ${size} bytes`);
}
