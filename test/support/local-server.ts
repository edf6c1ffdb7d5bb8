import pg from 'pg';
import { installedPrograms } from '../../scripts/client-tools.ts';
import { startFromPrograms } from '../../scripts/throwaway-postgres.ts';
import type { PostgresServer, Row } from './postgres.ts';

/** What a backup is made of; a container's server is one as well. */
export type SourceServer = Pick<PostgresServer, 'major' | 'host' | 'port' | 'user' | 'password' | 'query'>;

const MAJOR = 15;

/** Folder of this machine's own server programs; undefined where it has none of the major that the tests use. */
export const localServerPrograms = () => installedPrograms(MAJOR, ['initdb', 'postgres', 'pg_dump', 'pg_dumpall', 'pg_restore', 'psql']);

/**
 * A server of this machine's own programs. What is backed up from a newer minor, as a container's image may have, does not always
 * go into an older one: this is the source for sandboxes of this machine.
 */
export async function startLocalServer(directory: string): Promise<SourceServer & AsyncDisposable> {
  const server = await startFromPrograms(directory, new AbortController().signal);
  const { hostname, port, username, password } = new URL(server.url('postgres'));
  return {
    major: MAJOR,
    host: hostname,
    port: Number(port),
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
    async query(sql, database = 'postgres') {
      const client = new pg.Client({ connectionString: server.url(database) });
      await client.connect();
      try {
        const result: pg.QueryResult<Row> | pg.QueryResult<Row>[] = await client.query<Row>(sql);
        return (Array.isArray(result) ? result.at(-1) : result)?.rows ?? [];
      } finally {
        await client.end();
      }
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
