import { getContainerRuntimeClient } from 'testcontainers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeCanary } from '../../../src/postgres/canary.ts';
import { type ConnectionSettings, openClient, parseConnection } from '../../../src/postgres/connection.ts';
import { exportSnapshot } from '../../../src/postgres/snapshot.ts';
import { type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { dump, tools } from './pipeline.ts';

describe('a standby as the source', () => {
  let primary: PostgresServer;
  let settings: ConnectionSettings;

  beforeAll(async () => {
    primary = await startPostgres(17);
    await primary.query('CREATE TABLE t (id int); CREATE UNLOGGED TABLE scratch (id int); INSERT INTO scratch VALUES (1)');
    const { container } = await getContainerRuntimeClient();
    const inside = container.getById(primary.containerId);
    // A second server in the same container, which follows the first by streaming.
    const script = [
      'export PATH="$PATH:/usr/lib/postgresql/17/bin"',
      'pg_basebackup -U postgres -h /var/run/postgresql -D /tmp/standby -R -c fast',
      'pg_ctl -D /tmp/standby -o "-p 5433 -h \'*\' -k /tmp" -l /tmp/standby.log -w start',
    ].join(' && ');
    const result = await container.exec(inside, ['sh', '-c', script], { user: 'postgres' });
    expect(result.exitCode, result.output).toBe(0);
    const address = Object.values((await inside.inspect()).NetworkSettings.Networks)[0]?.IPAddress ?? '';
    const url = new URL(primary.url());
    url.host = `${address}:5433`;
    settings = parseConnection({ url: url.href, env: {} });
  });
  afterAll(async () => {
    await primary?.stop();
  });

  it('is dumped with an instant that nothing missing from the dump was committed before', async () => {
    const [{ instant: before } = {}] = await primary.query(
      'INSERT INTO t VALUES (1) RETURNING (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS instant',
    );
    await expect
      .poll(async () => (await dump(settings, await tools(17))).snapshot.instant.epochMilliseconds, { timeout: 60_000, interval: 1000 })
      .toBeGreaterThan(Number(before));
    const { snapshot } = await dump(settings, await tools(17));
    expect(snapshot.server.standby).toBe(true);
    expect(snapshot.instant.epochMilliseconds).toBeLessThan(Date.now());
    expect(snapshot.warnings).toEqual([expect.stringContaining('unlogged tables: 1')]);
  });

  it('takes no canary, and says where to take the backup from instead', async () => {
    const row = { schema: 'public', table: 'jetbackup_canary', backup: 'of the standby', lockTimeoutMs: 1_000 };
    expect(await writeCanary(settings, row, new AbortController().signal)).toEqual({
      text: 'no canary was written: the source is a standby, which takes no writes',
      hint: expect.stringContaining('primary'),
    });
  });

  it('is told from its primary, which is the same cluster', async () => {
    const of = async (at: ConnectionSettings) => {
      await using snapshot = await exportSnapshot(at, { lockName: 'instance' });
      return { cluster: snapshot.server.systemIdentifier, instance: snapshot.instance };
    };
    const there = await of(parseConnection({ url: primary.url(), env: {} }));
    const here = await of(settings);
    expect(here.cluster).toBe(there.cluster);
    expect(here.instance).not.toBe(there.instance);
    expect(await of(settings)).toEqual(here);
  });

  it('does not claim what it has not replayed yet', async () => {
    const { snapshot: current } = await dump(settings, await tools(17));
    const client = await openClient(settings, { applicationName: 'pause' });
    await client.query('SELECT pg_wal_replay_pause()');
    const [{ now } = {}] = await primary.query(
      'INSERT INTO t VALUES (2) RETURNING (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now',
    );
    // Long enough for the primary to have sent the row and to have said so.
    await expect
      .poll(async () => (await client.query('SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn() AS behind')).rows, {
        timeout: 10_000,
      })
      .toEqual([{ behind: true }]);
    const { snapshot } = await dump(settings, await tools(17));
    expect(snapshot.instant.epochMilliseconds).toBeLessThan(Number(now));
    expect(snapshot.instant.epochMilliseconds).toBeGreaterThanOrEqual(current.instant.epochMilliseconds - 60_000);
    await client.query('SELECT pg_wal_replay_resume()');
    await client.end();
  });
});
