import { isDeepStrictEqual } from 'node:util';
import { type Bench, type JetbackupBackupId, jetbackupBackups, repositoryOf, setupOf, stockEnvironment } from './backup.ts';
import { recorded, restoreCommand, verifyCommand } from './jetbackup.ts';
import type { Line } from './lines.ts';
import { type Census, census, dropDatabase } from './server.ts';

/** The database that each line restores into. */
const TARGET = 'restored';

/** A restore, and the line of the backup table whose output it takes. */
export interface RestoreLine extends Line {
  readonly needs: string;
}

/** Whatever restored it must have brought every row, index, constraint and trigger. */
async function checkAndDrop({ server }: Bench, expected: Census): Promise<void> {
  const actual = await census(server, TARGET);
  await dropDatabase(server, TARGET);
  if (isDeepStrictEqual(actual.counts, expected.counts)) return;
  const different = Object.keys(expected.counts).filter((name) => actual.counts[name] !== expected.counts[name]);
  throw new Error(
    `the restored database is not whole: ${different.map((name) => `${name}: ${actual.counts[name]} of ${expected.counts[name]}`).join(', ')}`,
  );
}

function stock(bench: Bench, source: Census, id: string, needs: string, title: string, main: string, script: string): RestoreLine {
  const env: Record<string, string> = { ...stockEnvironment(bench, needs, repositoryOf(bench, needs)), TARGET };
  return {
    id,
    needs,
    title,
    async prepare() {
      await dropDatabase(bench.server, TARGET);
      return { script: `createdb -T template0 "$TARGET"\n${script}`, env, main, writesTo: [env['RESTIC_CACHE_DIR'] ?? ''] };
    },
    async finish() {
      await checkAndDrop(bench, source);
      return {};
    },
  };
}

function jetbackup(bench: Bench, source: Census, needs: JetbackupBackupId, compare: boolean): RestoreLine {
  const setup = setupOf(bench, needs);
  return {
    id: `restore-${needs}`,
    needs,
    title: `${jetbackupBackups[needs].title.replace('to S3', 'from S3')}${compare ? ', compared' : ''}`,
    async prepare() {
      await dropDatabase(bench.server, TARGET);
      // The repository is not to be written to but for the run record: what a restore writes there would be scratch.
      return { ...restoreCommand(setup, TARGET, compare), writesTo: [] };
    },
    async finish() {
      await checkAndDrop(bench, source);
      return await recorded(setup, 'restore');
    },
  };
}

function verify(bench: Bench, sandbox: 'local' | 'server'): RestoreLine {
  const needs = 'jetbackup-gzip-content';
  const setup = setupOf(bench, needs);
  return {
    id: `verify-jetbackup-${sandbox}`,
    needs,
    title: sandbox === 'local' ? 'jetbackup verify, local sandbox' : 'jetbackup verify, on this server',
    prepare: async () => verifyCommand(setup, sandbox),
    finish: async () => await recorded(setup, 'verify'),
  };
}

/** Every line of the restore table that this machine can run. */
export function restoreLines(bench: Bench, source: Census): readonly RestoreLine[] {
  const line = (id: string, needs: string, title: string, main: string, script: string) =>
    stock(bench, source, id, needs, title, main, script);
  // Stops at the first error, as jetbackup does; without it psql goes on and ends well.
  const psql = 'psql -Xq -v ON_ERROR_STOP=1 -o /dev/null -d "$TARGET"';
  const file = '"$OUT/dump.pgc"';
  return [
    line('restore-model', 'model', 'gunzip | psql  (the model case)', 'psql', `gunzip -c "$OUT/dump.sql.gz" | ${psql}`),
    line('restore-custom', 'custom', 'pg_restore -j1 from -Fc', 'pg_restore', `pg_restore -e -d "$TARGET" ${file}`),
    line('restore-custom-2', 'custom', 'pg_restore -j2 from -Fc', 'pg_restore', `pg_restore -e -j2 -d "$TARGET" ${file}`),
    line('restore-directory', 'directory', 'pg_restore -j2 from -Fd', 'pg_restore', 'pg_restore -e -j2 -d "$TARGET" "$OUT/dump"'),
    // The state in which jetbackup's restores end.
    line(
      'restore-directory-analyzed',
      'directory',
      'pg_restore -j2 from -Fd, vacuumdb -Z -j2',
      'pg_restore',
      'pg_restore -e -j2 -d "$TARGET" "$OUT/dump"\nvacuumdb -qZ -j2 -d "$TARGET"',
    ),
    ...(bench.restic
      ? [
          line('restore-restic', 'restic', 'restic dump | psql', 'restic', `restic dump latest /dump.sql | ${psql}`),
          line(
            'restore-restic-custom',
            'restic-custom',
            'restic dump | pg_restore',
            'restic',
            'restic dump latest /dump.pgc | pg_restore -e -d "$TARGET"',
          ),
        ]
      : []),
    jetbackup(bench, source, 'jetbackup-gzip', false),
    jetbackup(bench, source, 'jetbackup-zstd', false),
    jetbackup(bench, source, 'jetbackup-gzip-content', true),
    verify(bench, 'server'),
    verify(bench, 'local'),
    ...(bench.s3 !== undefined && bench.awsCli
      ? [
          line(
            'restore-model-s3',
            'model-s3',
            'aws s3 cp | gunzip | psql, from S3',
            'psql',
            `aws --endpoint-url "$S3_ENDPOINT" s3 cp "$S3_URL" - | gunzip | ${psql}`,
          ),
        ]
      : []),
    ...(bench.resticToS3
      ? [line('restore-restic-s3', 'restic-s3', 'restic dump | psql, from S3', 'restic', `restic dump latest /dump.sql | ${psql}`)]
      : []),
    ...(bench.s3 !== undefined
      ? [jetbackup(bench, source, 'jetbackup-gzip-s3', false), jetbackup(bench, source, 'jetbackup-zstd-s3', false)]
      : []),
  ];
}
