import type pg from 'pg';
import { JetbackupError, messageOf } from '../core/errors.ts';
import { codeOf } from './database-errors.ts';
import { type ConnectionSettings, describeConnection } from './settings.ts';

/** A setting that means nothing to anybody: only who passes startup options on to the server process of this very session shows it again. */
const MARK = 'jetbackup.session';
export const MARK_OPTION = `-c ${MARK}=own`;

/**
 * Whether we talk to the server process that the start of the connection named (BackendKeyData). A pooler like
 * PgBouncer names a number of its own, and may hand each transaction to another process, which others use too: what
 * we set there would break the application's statements, and ours would run without it. To be asked before anything
 * is set. False also behind a proxy that keeps its own numbers and yet gives each connection a process of its own:
 * `isMarked` tells such a one.
 */
export async function isNamedProcess(client: pg.Client): Promise<boolean> {
  // The sum, because there are poolers that answer the plain call themselves.
  const { rows } = await client.query<{ pid: number }>('SELECT pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.+) 0 AS pid');
  return rows[0]?.pid === Reflect.get(client, 'processID');
}

/** Of a client that connected with `MARK_OPTION`: whether the option reached the process that answers. */
export async function isMarked(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ mark: string | null }>(`SELECT pg_catalog.current_setting('${MARK}', true) AS mark`);
  return rows[0]?.mark === 'own';
}

/** What poolers (PgBouncer; Amazon's RDS Proxy) answer to startup options that they do not pass on. No server says so. */
export function refusesOptions(error: unknown): boolean {
  return /unsupported startup parameter|support command-line options/i.test(messageOf(error));
}

/** The same, in whatever words, where the connection without `MARK_OPTION` was let in: protocol, feature, value or name refused. */
export function refusesMark(error: unknown): boolean {
  return /^(08|0A|22|42)...$/.test(codeOf(error) ?? '');
}

export function poolerError(settings: ConnectionSettings, cause?: unknown): JetbackupError {
  return new JetbackupError(
    'database-denied',
    `${describeConnection(settings)}: there is a connection pooler (PgBouncer or the like) in between, and no session with the server`,
    {
      hint: "Give the address of the PostgreSQL server itself: its port is 5432 as a rule, PgBouncer's is 6432; hosted services call it the direct connection.",
      ...(cause === undefined ? {} : { cause }),
    },
  );
}
