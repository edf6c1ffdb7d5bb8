import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import { bytesOf } from '../../../src/core/bytes.ts';
import { type ConnectionSettings, parseConnection } from '../../../src/postgres/connection.ts';
import { indexSettings, restoreArchive } from '../../../src/postgres/restore.ts';
import { localServerPrograms, type SourceServer, startLocalServer } from '../../support/local-server.ts';
import { startPostgres } from '../../support/postgres.ts';
import { baseEnv, deps, dump, tools } from './pipeline.ts';

const settingsOf = ({ host, port, user, password }: SourceServer, database: string): ConnectionSettings => {
  const url = `postgres://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}`;
  return parseConnection({ url, env: {} });
};

const settingsIn = (options: string) => options.split('-c ').map((option) => option.trim());

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

describe('the cores of the server', () => {
  const here = indexSettings(availableParallelism());

  it.skipIf(programs === undefined)('are known where it runs on this machine', async () => {
    await using server = await startLocalServer(programs ?? '');
    expect(settingsIn(await optionsOf(server, 2))).toEqual(expect.arrayContaining(here));
  });

  it('are not where it is elsewhere', async () => {
    await using server = await startPostgres(15);
    const settings = settingsIn(await optionsOf(server, 2));
    expect(settings).toEqual(expect.arrayContaining(indexSettings(undefined)));
    expect(settings.filter((setting) => setting.startsWith('max_parallel_maintenance_workers'))).toEqual([]);
  });
});

it('no index is made by more processes than there are cores, as far as they are known', () => {
  const workers = (cores?: number) => indexSettings(cores).filter((setting) => setting.startsWith('max_parallel_maintenance_workers'));
  expect(workers(1)).toEqual(['max_parallel_maintenance_workers=0']);
  expect(workers(2)).toEqual(['max_parallel_maintenance_workers=1']);
  expect([workers(3), workers(64), workers()]).toEqual([[], [], []]);
});
