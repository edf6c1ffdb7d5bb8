import { describe, expect, it } from 'vitest';
import { bytesOf } from '../../../src/core/bytes.ts';
import { type ConnectionSettings, parseConnection } from '../../../src/postgres/connection.ts';
import { restoreArchive } from '../../../src/postgres/restore.ts';
import { localServerPrograms, type SourceServer, startLocalServer } from '../../support/local-server.ts';
import { startPostgres } from '../../support/postgres.ts';
import { baseEnv, deps, dump, tools } from './pipeline.ts';

const settingsOf = ({ host, port, user, password }: SourceServer, database: string): ConnectionSettings => {
  const url = `postgres://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}`;
  return parseConnection({ url, env: {} });
};

/** The settings of the sessions that make the indexes, when a small database is restored on this server. */
async function optionsOf(server: SourceServer, jobs: number): Promise<string> {
  await server.query('CREATE DATABASE shop');
  await server.query('CREATE TABLE goods (id int PRIMARY KEY)', 'shop');
  await server.query('CREATE DATABASE copy');
  const used = await tools(15);
  const { archive } = await dump(settingsOf(server, 'shop'), used);
  const options: string[] = [];
  const processes: typeof deps.processes = {
    ...deps.processes,
    async consume(command, ...rest) {
      if (command.args.some((argument) => argument.endsWith('/post-data.list'))) options.push(command.env['PGOPTIONS'] ?? '');
      await deps.processes.consume(command, ...rest);
    },
  };
  const settings = settingsOf(server, 'copy');
  await restoreArchive({ ...deps, processes }, { settings, tools: used, archive: bytesOf(archive), jobs, noOwner: false, baseEnv });
  const indexes = await server.query("SELECT indexname FROM pg_indexes WHERE tablename = 'goods'", 'copy');
  expect(indexes).toEqual([{ indexname: 'goods_pkey' }]);
  await server.query('DROP DATABASE shop');
  await server.query('DROP DATABASE copy');
  expect(options).toHaveLength(1);
  return options.join('');
}

const programs = await localServerPrograms();

describe('an index is made by one process', () => {
  const one = 'max_parallel_maintenance_workers=0';

  it.skipIf(programs === undefined)('where the jobs fill the cores of this machine, on which the server runs', async () => {
    await using server = await startLocalServer(programs ?? '');
    expect(await optionsOf(server, 64)).toContain(one);
  });

  it('and by as many as the server has for it where that is elsewhere', async () => {
    await using server = await startPostgres(15);
    expect(await optionsOf(server, 64)).not.toContain(one);
  });
});
