import pg from 'pg';
import { withDatabase } from '../../../src/postgres/connection.ts';
import type { Sandbox, SandboxProvider } from '../../../src/verify/sandbox.ts';
import type { PostgresServer } from '../../support/postgres.ts';
import { query } from './local-sandboxes.ts';

/** A sandbox as the server that something is backed up from. */
export const asServer = (sandbox: Sandbox): Pick<PostgresServer, 'major' | 'url' | 'query'> => {
  const { hosts, user, password } = sandbox.settings;
  return {
    major: 15,
    url: (database) => `postgres://${user}:${password?.reveal()}@/${database}?host=${encodeURIComponent(hosts[0]?.host ?? '')}`,
    // Our connections have no search_path. The maintenance database is asked for what may be in no transaction with anything else.
    query: (sql, database) =>
      database === undefined
        ? query(sandbox, sql)
        : query({ ...sandbox, settings: withDatabase(sandbox.settings, database) }, `SET search_path = public; ${sql}`),
  };
};

/**
 * The one running server as if it were made anew each time: what a verification made on it, a database and roles, is gone before
 * the next one begins. Everything else about it is real, and a verification cannot tell.
 */
export function serverThatStays(sandbox: Sandbox): SandboxProvider {
  const clean = async () => {
    const databases = await query(sandbox, "SELECT datname FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')");
    for (const { datname } of databases) await query(sandbox, `DROP DATABASE ${pg.escapeIdentifier(String(datname))} WITH (FORCE)`);
    const roles = await query(sandbox, 'SELECT rolname FROM pg_roles WHERE oid >= 16384 AND rolname <> current_user');
    for (const { rolname } of roles) await query(sandbox, `DROP ROLE ${pg.escapeIdentifier(String(rolname))}`);
  };
  return {
    kind: sandbox.kind,
    start: async ({ profile }) => ({ ...sandbox, profile, [Symbol.asyncDispose]: clean }),
    fetch: async () => {},
    sweep: async () => [],
  };
}
