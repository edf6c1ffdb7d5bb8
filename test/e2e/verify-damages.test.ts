import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { VerifyDocument } from '../../src/cli/json-verify.ts';
import { RunRecordSchema } from '../../src/core/run-record.ts';
import { damages, shop, shopQueries, shopRoles, shopValues } from '../support/damages.ts';
import { localServerPrograms, type SourceServer, startLocalServer } from '../support/local-server.ts';
import { startPostgres } from '../support/postgres.ts';
import { makeVerifyInstallation, type VerifyInstallation } from '../support/verify-installation.ts';

const DATABASE = 'shop_source';
const programs = await localServerPrograms();
/** Not on a server that is given: amcheck is only run in these. */
const ofItsOwn = programs === undefined ? 'container' : 'local';

/** Runs `sql` where everything has been restored, before anything is looked at: after the last of pg_restore's runs, of which this database takes three. */
const afterRestore = (file: string, count: string) => `
"$REAL" "$@" || exit $?
case "$*" in *post-data.list*) ;; *) exit 0 ;; esac
echo >> ${count}
[ "$(wc -l < ${count})" -eq 3 ] || exit 0
for argument; do case "$argument" in --dbname=*) database=\${argument#--dbname=} ;; esac; done
exec "$(dirname "$REAL")/psql" -qX -v ON_ERROR_STOP=1 -d "$database" -f ${file} > /dev/null`;

describe('jetbackup verify of a database that came back damaged', () => {
  let server: SourceServer & AsyncDisposable;
  let site: VerifyInstallation;
  let id: string;

  beforeAll(async () => {
    server = programs === undefined ? await startPostgres(15) : await startLocalServer(programs);
    await server.query(shopRoles);
    await server.query(`CREATE DATABASE ${DATABASE} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`);
    await server.query(shop, DATABASE);
    await server.query(`ALTER DATABASE ${DATABASE} SET search_path TO shop, public`);
    site = await makeVerifyInstallation({ server, database: DATABASE });
    await site.installation.configure({ values: shopValues, canary: 'public.jetbackup_canary' });
    // Where a backup is restored is not what this looks at, and to make a server each time would be half of its time.
    site.installation.cli.env['PGPASSWORD'] = server.password;
    const sandbox = `postgres://${server.user}@${server.host}:${server.port}/?sslmode=disable`;
    await site.configureVerify({ queries: shopQueries, sandbox });
    id = await site.installation.backup();
  });
  afterEach(async () => {
    await site.installation.programs.restore();
  });
  afterAll(async () => {
    await site?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  it.each(damages)('$name: $fails', async ({ name, sql, fails, by, finding }) => {
    const { cli, programs: wrapped, repository } = site.installation;
    const [file, count] = [join(cli.directory, 'damage.sql'), join(cli.directory, 'damage.count')];
    await writeFile(file, sql);
    await writeFile(count, '');
    await wrapped.wrap('pg_restore', afterRestore(file, count));
    const needsItsOwn = fails.length === 0 || fails.includes('amcheck');
    const ended = await site.verify(id, '--json', ...(needsItsOwn ? ['--sandbox', ofItsOwn] : []));
    const told = `${name}\n${ended.stdout}\n${ended.stderr}`;
    expect(ended.code, told).toBe(fails.length === 0 ? 0 : 30);
    const [result] = VerifyDocument.parse(ended.json()).verified;
    const failed = (result?.checks ?? []).filter(({ status }) => status === 'fail');
    expect(
      failed.map((check) => check.id),
      told,
    ).toEqual(fails);
    for (const { hint } of failed) expect(hint).toMatch(/\S/);
    expect(result?.outcome).toBe(fails.length === 0 ? 'proven' : 'failed');
    expect(
      result?.checks.find((check) => check.id === by)?.findings.some((one) => finding.test(one)),
      told,
    ).toBe(true);
    // What is recorded says as much, and names nothing of the database.
    const key = (await repository.keys()).find((one) => one.startsWith('runs/') && one.includes(result?.run ?? 'none'));
    const record = (await repository.read(key ?? '')).toString();
    expect(RunRecordSchema.parse(JSON.parse(record))).toMatchObject({
      operation: 'verify',
      verification: { outcome: result?.outcome, attached: true },
    });
    expect(record).not.toMatch(/shop\.|invoice|customer|leads|625625|trgm|jetbackup_canary/);
  });
});
