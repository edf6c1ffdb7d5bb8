import type pg from 'pg';
import { messageOf } from '../core/errors.ts';

/** Something that was asked for and is not recorded. */
export interface Omission {
  /** Goes into the manifest, which is not encrypted: names nothing of the database and quotes nothing of the server's. */
  readonly text: string;
  /** For whoever runs the backup: what the server said, and what to type. */
  readonly hint: string;
}

export type Beside<T> = { readonly value: T } | { readonly error: unknown };

/**
 * Does `work` in a subtransaction that is always rolled back: neither its settings nor its failure touch the transaction
 * around it. Throws only what ends that one too: a lost connection, a standby that replays what the snapshot needs.
 */
export async function beside<T>(client: pg.Client, work: () => Promise<T>): Promise<Beside<T>> {
  await client.query('SAVEPOINT beside');
  let done: Beside<T>;
  try {
    done = { value: await work() };
  } catch (error) {
    if (/conflict with recovery/.test(messageOf(error))) throw error;
    done = { error };
  }
  try {
    await client.query('ROLLBACK TO SAVEPOINT beside; RELEASE SAVEPOINT beside');
  } catch (error) {
    throw 'error' in done ? done.error : error;
  }
  return done;
}

/** What the server said, as a sentence to begin a hint with. */
export function serverSays(error: unknown): string {
  return `The server says: ${(messageOf(error).split('\n')[0] ?? '').replace(/[.]$/, '')}.`;
}
