import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MiB } from '../core/bytes.ts';

/** Less than the 20 MB or so after which V8 begins; far less would collect pieces that are still on their way, and promote them. */
const EVERY_BYTES = 8 * MiB;
/**
 * Each collection finds a buffer or two still in use, and what is found twice counts as old: a quarter of a megabyte each time, which
 * would stay until V8 marks. Without this one in so many, the memory of a backup grew by 20 MB over 1.3 GB and went on; with it, by 10.
 */
const ONE_IN = 64;
/**
 * By how much the heap may outgrow what lives before all of it is marked, in percent; within V8's own range. Left to itself V8 goes
 * down with it the more often it marks, and one restore of six stayed at marking after every 10 MB.
 */
const HEAP_GROWTH_PERCENT = 200;

type Collect = (options: { readonly type: 'minor' | 'major' }) => unknown;

let passed = 0;
let collections = 0;
let collect: Collect | undefined;

/**
 * To be told of the bytes that pass through buffers which nobody keeps. Node.js makes a new buffer for each piece that it reads or
 * decompresses, and V8 counts them towards its limit for the whole heap: it marked all of that again for every 20 MB of a backup,
 * which was a fifth of a backup's own CPU time and a fourth of a restore's. A collection of what is young frees them within a
 * millisecond, and memory stays lower.
 */
export function buffersPassed(bytes: number): void {
  passed += bytes;
  if (passed < EVERY_BYTES) return;
  passed = 0;
  collect ??= collector();
  collections += 1;
  collect({ type: collections % ONE_IN === 0 ? 'major' : 'minor' });
}

/** V8 gives its function only to contexts that are made after it was asked to. Without it everything works, at the old price. */
function collector(): Collect {
  try {
    setFlagsFromString('--expose-gc');
    const gc: unknown = runInNewContext('typeof gc === "function" ? gc : undefined');
    if (!isCollect(gc)) return () => {};
    setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH_PERCENT}`);
    return gc;
  } catch {
    return () => {};
  }
}

function isCollect(value: unknown): value is Collect {
  return typeof value === 'function';
}
