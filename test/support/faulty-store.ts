import type { ByteStream } from '../../src/core/bytes.ts';
import { type ErrorCode, JetbackupError } from '../../src/core/errors.ts';
import type { ObjectStore } from '../../src/storage/store.ts';

export type StoreCall = 'put' | 'get' | 'stat' | 'list' | 'lockedUntil' | 'delete' | 'sweepUnfinished' | 'room' | 'probe';

/**
 * What goes wrong:
 * - an error code or an error: thrown at `afterBytes` of the body (put) or of the stream (get), else before the call;
 * - `hang`: waits there until the signal is aborted, then throws its reason;
 * - `truncate`: a store that lies: the body or the stream ends normally at `afterBytes`;
 * - `flip-bit`: one bit of the byte at `afterBytes` is turned over on the way;
 * - `fail-after-commit`: the call is carried out, and then reported as `storage-unreachable`.
 */
export type StoreFault = ErrorCode | Error | 'hang' | 'truncate' | 'flip-bit' | 'fail-after-commit';

export interface FaultRule {
  readonly on: StoreCall;
  readonly fault: StoreFault;
  /** Only calls whose key (or prefix) matches; default all. */
  readonly key?: string | RegExp;
  /** Only the nth (1 is the first) of the calls that match; default all of them. */
  readonly nth?: number;
  /** Bytes that pass unharmed first. */
  readonly afterBytes?: number;
}

export interface FaultyStore extends ObjectStore {
  /** Every call so far, in order. */
  readonly calls: readonly { readonly call: StoreCall; readonly key: string }[];
  /** Adds a rule from now on. */
  add(rule: FaultRule): void;
  /** Removes every rule: the store is well again. */
  heal(): void;
}

/** Wraps any store and fails where told. */
export function createFaultyStore(inner: ObjectStore, ...initial: readonly FaultRule[]): FaultyStore {
  let rules = initial.map((rule) => ({ rule, seen: 0 }));
  const calls: { call: StoreCall; key: string }[] = [];

  function ruleFor(call: StoreCall, key: string): FaultRule | undefined {
    calls.push({ call, key });
    let chosen: FaultRule | undefined;
    for (const entry of rules) {
      const { rule } = entry;
      const matches = rule.key === undefined || (typeof rule.key === 'string' ? rule.key === key : rule.key.test(key));
      if (rule.on !== call || !matches) continue;
      entry.seen += 1;
      if (chosen === undefined && (rule.nth === undefined || rule.nth === entry.seen)) chosen = rule;
    }
    return chosen;
  }

  async function strike(rule: FaultRule, key: string, signal: AbortSignal | undefined): Promise<void> {
    const { fault } = rule;
    if (fault instanceof Error) throw fault;
    if (fault === 'hang') return hang(signal);
    if (fault === 'truncate' || fault === 'flip-bit' || fault === 'fail-after-commit') return;
    throw new JetbackupError(fault, `told to fail: ${rule.on} of "${key}"`);
  }

  async function* through(stream: ByteStream, rule: FaultRule, key: string, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    const at = rule.afterBytes ?? 0;
    let passed = 0;
    for await (const chunk of stream) {
      const end = passed + chunk.byteLength;
      if (passed <= at && at < end) {
        if (rule.fault === 'flip-bit') {
          const damaged = Uint8Array.from(chunk);
          damaged[at - passed] = (damaged[at - passed] ?? 0) ^ 1;
          yield damaged;
          passed = end;
          continue;
        }
        if (at > passed) yield chunk.subarray(0, at - passed);
        if (rule.fault === 'truncate') return;
        await strike(rule, key, signal);
      }
      yield chunk;
      passed = end;
    }
    // A stream that ends at or before the point still meets its fault.
    if (passed <= at) await strike(rule, key, signal);
  }

  const plain = async (call: StoreCall, key: string, signal: AbortSignal | undefined) => {
    const rule = ruleFor(call, key);
    if (rule !== undefined) await strike(rule, key, signal);
    return () => afterCommit(rule, key);
  };

  return {
    calls,
    add: (rule) => {
      rules.push({ rule, seen: 0 });
    },
    heal: () => {
      rules = [];
    },
    location: inner.location,
    capacity: (sizeHint) => inner.capacity(sizeHint),
    async put(key, body, options = {}) {
      const rule = ruleFor('put', key);
      if (rule === undefined) return inner.put(key, body, options);
      const inBody = rule.afterBytes !== undefined || rule.fault === 'truncate' || rule.fault === 'flip-bit';
      if (!inBody) await strike(rule, key, options.signal);
      const info = await inner.put(key, inBody ? through(body, rule, key, options.signal) : body, options);
      afterCommit(rule, key);
      return info;
    },
    async get(key, options = {}) {
      const rule = ruleFor('get', key);
      if (rule === undefined) return inner.get(key, options);
      const inStream = rule.afterBytes !== undefined || rule.fault === 'truncate' || rule.fault === 'flip-bit';
      if (!inStream) await strike(rule, key, options.signal);
      const stream = await inner.get(key, options);
      return inStream ? through(stream, rule, key, options.signal) : stream;
    },
    async stat(key, signal) {
      await plain('stat', key, signal);
      return inner.stat(key, signal);
    },
    async *list(prefix, signal) {
      await plain('list', prefix, signal);
      yield* inner.list(prefix, signal);
    },
    async lockedUntil(key, signal) {
      await plain('lockedUntil', key, signal);
      return inner.lockedUntil(key, signal);
    },
    async delete(key, signal) {
      const done = await plain('delete', key, signal);
      await inner.delete(key, signal);
      done();
    },
    async sweepUnfinished(prefix, before, signal) {
      await plain('sweepUnfinished', prefix, signal);
      return inner.sweepUnfinished(prefix, before, signal);
    },
    async room(signal) {
      await plain('room', '', signal);
      return inner.room(signal);
    },
    async probe(signal) {
      await plain('probe', '', signal);
      return inner.probe(signal);
    },
    close: () => inner.close(),
  };
}

function afterCommit(rule: FaultRule | undefined, key: string): void {
  if (rule?.fault !== 'fail-after-commit') return;
  throw new JetbackupError('storage-unreachable', `told to fail: the answer about "${key}" was lost`);
}

function hang(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}
