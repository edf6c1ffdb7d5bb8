import { describe, expect, it } from 'vitest';
import { createRoles, createStagingDatabase, inspectTarget, missingPrerequisites } from '../../../src/postgres/restore.ts';
import { type PostgresMajor, startPostgres } from '../../support/postgres.ts';
import { diverseSql, dump, fill, settingsOf, tools } from './pipeline.ts';

describe.each<[PostgresMajor, PostgresMajor]>([
  [15, 17],
  [17, 18],
])('a backup of PostgreSQL %i', (from, into) => {
  it(`is restored into PostgreSQL ${into} by the client programs of ${into}`, async () => {
    await using source = await startPostgres(from);
    await source.query(await diverseSql());
    const { snapshot, archive } = await dump(settingsOf(source), await tools(from));
    await using target = await startPostgres(into);
    const settings = settingsOf(target, 'upgraded');
    expect(await createRoles(settings, snapshot.source.roles)).toEqual(['app', 'odd "role"']);
    expect(missingPrerequisites(snapshot.source, snapshot.server, await inspectTarget(settings), { noOwner: false })).toEqual([]);
    await using staging = await createStagingDatabase(settings, {
      source: snapshot.source,
      finalName: 'upgraded',
      runId: 'x-upgrad',
      noOwner: false,
    });
    await fill(staging, archive, await tools(into, 'restore'));
    await staging.promote('upgraded');
    const digest =
      "SELECT md5(string_agg(t::text, ',' ORDER BY id)) AS t, (SELECT sum(twice)::text FROM child) AS child, (SELECT count(*)::text FROM p) AS p FROM t";
    expect(await target.query(digest, 'upgraded')).toEqual(await source.query(digest));
  });
});
