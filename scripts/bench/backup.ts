import path from 'node:path';
import { $ } from 'zx';
import { backupLine, type Setup } from './jetbackup.ts';
import type { Line, runRounds } from './lines.ts';
import { directoryRepository, type Repository, s3Repository } from './repositories.ts';
import type { S3Target } from './s3.ts';
import { type BenchServer, settle } from './server.ts';

/** What the lines are made for. */
export interface Bench {
  readonly server: BenchServer;
  readonly database: string;
  /** Everything that is stored on this machine's disk goes below it. */
  readonly folder: string;
  readonly s3: S3Target | undefined;
  readonly restic: boolean;
  /** Whether restic can write to this S3 server as well. */
  readonly resticToS3: boolean;
  readonly awsCli: boolean;
  readonly signal: AbortSignal;
}

/** The S3 server is awake only for the lines that use it: the others are compared with each other, and it shares their cores. */
export function surroundingsOf({ server, folder, s3, signal }: Bench): Parameters<typeof runRounds>[2] {
  const enter = async ({ id }: Line) => await s3?.freeze(!/-s3$/.test(id));
  return { folder, postmaster: server.postmaster, signal, enter, before: () => settle(server) };
}

const NOWHERE = '> /dev/null';

/** Secret of a repository that is deleted in the end. */
const RESTIC_PASSWORD = 'bench';

/** Where the line with this id puts its output: a directory, or where the id says so a prefix of the bucket. */
export function repositoryOf(bench: Bench, id: string): Repository {
  return id.endsWith('-s3') && bench.s3 !== undefined
    ? s3Repository(bench.s3, id)
    : directoryRepository(path.join(bench.folder, 'stored', id));
}

/** Environment of stock programs: the connection, `$OUT` for the line's folder, restic's and aws's settings. */
export function stockEnvironment(bench: Bench, id: string, repository: Repository): Record<string, string> {
  const [out = ''] = repository.folders;
  const { s3 } = bench;
  const remote: Record<string, string> =
    s3 === undefined || out !== '' ? {} : { S3_URL: `s3://${s3.bucket}/${id}/dump.sql.gz`, S3_ENDPOINT: s3.endpoint };
  const restic = s3 === undefined || out !== '' ? path.join(out, 'restic') : `s3:${s3.endpoint}/${s3.bucket}/${id}`;
  return {
    ...bench.server.environment(bench.database),
    ...repository.env,
    ...remote,
    OUT: out,
    RESTIC_REPOSITORY: restic,
    RESTIC_PASSWORD,
    // Its cache would otherwise be taken for a scratch file, and is of no use to a first backup.
    RESTIC_CACHE_DIR: path.join(bench.folder, 'restic-cache'),
  };
}

function stock(bench: Bench, id: string, title: string, main: string, script: string): Line {
  const repository = repositoryOf(bench, id);
  const env = stockEnvironment(bench, id, repository);
  const cache = env['RESTIC_CACHE_DIR'] ?? '';
  return {
    id,
    title,
    async prepare() {
      await repository.clear();
      // Anew for each run: restic stores what it has already seen only once.
      if (main === 'restic') await resticInit(env, bench.signal);
      return { script, env, main, writesTo: [...repository.folders, cache] };
    },
    finish: async () => (script.endsWith(NOWHERE) ? {} : { storedBytes: await repository.bytes() }),
  };
}

async function resticInit(env: Record<string, string>, signal: AbortSignal): Promise<void> {
  const made = await $({ quiet: true, nothrow: true, detached: true, stdio: ['ignore', 'pipe', 'pipe'], signal, env })`restic init --quiet`;
  signal.throwIfAborted();
  if (made.exitCode !== 0) throw new Error(made.stderr.trim());
}

/** Why restic cannot write to this server; undefined where it can. Its uploads over plain HTTP are more than some servers understand. */
export async function resticRefusal(bench: Bench): Promise<string | undefined> {
  const repository = repositoryOf(bench, 'probe-restic-s3');
  try {
    await resticInit(stockEnvironment(bench, 'probe-restic-s3', repository), bench.signal);
    await repository.clear();
    return undefined;
  } catch (error) {
    bench.signal.throwIfAborted();
    return error instanceof Error ? error.message : String(error);
  }
}

export function jetbackupSetup(bench: Bench, id: string, codec: Setup['codec'], fingerprint: Setup['fingerprint']): Setup {
  const { server, database, signal } = bench;
  return { server, database, signal, codec, fingerprint, home: path.join(bench.folder, 'homes', id), repository: repositoryOf(bench, id) };
}

/** The rows in the order of `pg_class`, as pg_dump reads them, but nothing besides. */
const COPY_ALL = `psql -XAtq -c "SELECT format('COPY %s TO STDOUT;', oid::regclass) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace" | psql -Xq ${NOWHERE}`;

/** One per backup that jetbackup makes here; restores take them by id. */
export const jetbackupBackups = {
  'jetbackup-gzip': { title: 'jetbackup gzip', codec: 'gzip', fingerprint: 'off' },
  'jetbackup-zstd': { title: 'jetbackup zstd', codec: 'zstd', fingerprint: 'off' },
  'jetbackup-gzip-counts': { title: 'jetbackup gzip, fingerprint counts', codec: 'gzip', fingerprint: 'counts' },
  'jetbackup-gzip-content': { title: 'jetbackup gzip, fingerprint content', codec: 'gzip', fingerprint: 'content' },
  'jetbackup-gzip-s3': { title: 'jetbackup gzip, to S3', codec: 'gzip', fingerprint: 'off' },
  'jetbackup-zstd-s3': { title: 'jetbackup zstd, to S3', codec: 'zstd', fingerprint: 'off' },
} as const satisfies Record<string, { title: string; codec: Setup['codec']; fingerprint: Setup['fingerprint'] }>;

export type JetbackupBackupId = keyof typeof jetbackupBackups;

export function setupOf(bench: Bench, id: JetbackupBackupId): Setup {
  return jetbackupSetup(bench, id, jetbackupBackups[id].codec, jetbackupBackups[id].fingerprint);
}

/** Every line of the backup table that this machine can run. */
export function backupLines(bench: Bench): readonly Line[] {
  const own = (id: JetbackupBackupId) => backupLine(id, jetbackupBackups[id].title, setupOf(bench, id));
  const restic = (id: string, title: string, script: string) => stock(bench, id, title, 'restic', script);
  const plain = 'pg_dump | restic backup --quiet --stdin --stdin-filename dump.sql';
  const custom = 'pg_dump -Fc -Z0 | restic backup --quiet --stdin --stdin-filename dump.pgc';
  return [
    stock(bench, 'model', 'pg_dump | gzip > file  (the model case)', 'pg_dump', 'pg_dump | gzip > "$OUT/dump.sql.gz"'),
    stock(bench, 'custom', 'pg_dump -Fc', 'pg_dump', 'pg_dump -Fc -f "$OUT/dump.pgc"'),
    stock(bench, 'directory', 'pg_dump -Fd -j2', 'pg_dump', 'pg_dump -Fd -j2 -f "$OUT/dump"'),
    ...(bench.restic ? [restic('restic', 'pg_dump | restic backup --stdin', plain)] : []),
    ...(bench.restic ? [restic('restic-custom', 'pg_dump -Fc -Z0 | restic backup --stdin', custom)] : []),
    stock(bench, 'uncompressed', `pg_dump -Fc -Z0 ${NOWHERE}`, 'pg_dump', `pg_dump -Fc -Z0 ${NOWHERE}`),
    stock(bench, 'copy', 'COPY of all tables > /dev/null  (the limit)', 'psql', COPY_ALL),
    own('jetbackup-gzip'),
    own('jetbackup-zstd'),
    own('jetbackup-gzip-counts'),
    own('jetbackup-gzip-content'),
    ...(bench.s3 !== undefined && bench.awsCli
      ? [
          stock(
            bench,
            'model-s3',
            'pg_dump | gzip | aws s3 cp, to S3',
            'pg_dump',
            'pg_dump | gzip | aws --endpoint-url "$S3_ENDPOINT" s3 cp - "$S3_URL"',
          ),
        ]
      : []),
    ...(bench.resticToS3 ? [restic('restic-s3', 'pg_dump | restic backup --stdin, to S3', plain)] : []),
    ...(bench.s3 !== undefined ? [own('jetbackup-gzip-s3'), own('jetbackup-zstd-s3')] : []),
  ];
}
