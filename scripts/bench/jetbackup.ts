import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseDocument } from 'yaml';
import { $ } from 'zx';
import type { CodecName, FingerprintMode } from '../../src/core/manifest.ts';
import type { Line } from './lines.ts';
import type { MeasuredCommand } from './measure.ts';
import type { Repository } from './repositories.ts';
import type { BenchServer } from './server.ts';

/** The command line as `npm run build` made it. */
const CLI = path.resolve(import.meta.dirname, '../../dist/main.js');

export interface Setup {
  readonly server: BenchServer;
  /** The database that is backed up. */
  readonly database: string;
  /** Where jetbackup.yaml and the keys go. */
  readonly home: string;
  readonly repository: Repository;
  readonly codec: CodecName;
  readonly fingerprint: FingerprintMode;
  readonly signal: AbortSignal;
}

/** A new installation in an empty repository, made with `jetbackup init` as a user makes it, and then one backup. */
export function backupLine(id: string, title: string, setup: Setup): Line {
  return {
    id,
    title,
    async prepare() {
      await install(setup);
      return jetbackup(setup, 'backup');
    },
    finish: async () => ({ storedBytes: await setup.repository.bytes(), ...(await recorded(setup, 'backup')) }),
  };
}

/** Restores the newest backup into a new database of the same server. */
export function restoreCommand(setup: Setup, as: string, compare: boolean): MeasuredCommand {
  return jetbackup(setup, `restore latest --as ${as} --yes${compare ? '' : ' --no-compare'}`);
}

/** Verifies the newest backup: restored, compared and checked, in a cluster of its own, or on the server that restores go to. */
export function verifyCommand(setup: Setup, sandbox: 'local' | 'server'): MeasuredCommand {
  const command = jetbackup(setup, 'verify');
  const where = sandbox === 'local' ? 'local' : setup.server.url('postgres');
  // What a sandbox writes is no scratch file.
  return { ...command, env: { ...command.env, JETBACKUP_SANDBOX: where }, writesTo: 'anywhere' };
}

/** How long each step took, and the RTO where it was measured, from the run record in the repository. */
export async function recorded({ repository }: Setup, operation: 'backup' | 'restore' | 'verify') {
  const record = await repository.newestRun(operation);
  if (record?.result !== 'succeeded') throw new Error(`the repository holds no record of a ${operation} that succeeded`);
  const rto = record.rtoSeconds === null ? {} : { rtoMs: record.rtoSeconds * 1000 };
  return { phases: record.phases.map(({ phase, ms }) => ({ phase, ms })), ...rto };
}

async function install(setup: Setup): Promise<void> {
  const { home, repository, signal, fingerprint, codec } = setup;
  await rm(home, { recursive: true, force: true });
  await repository.clear();
  const run = $({ quiet: true, nothrow: true, detached: true, signal, env: environment(setup), stdio: ['ignore', 'pipe', 'pipe'] });
  const made = await run`${process.execPath} ${CLI} init --dir ${home} --json`;
  signal.throwIfAborted();
  if (made.exitCode !== 0) throw new Error(`jetbackup init: exit status ${made.exitCode}: ${made.stderr.trim() || made.stdout.trim()}`);

  const file = path.join(home, 'jetbackup.yaml');
  const config = parseDocument(await readFile(file, 'utf8'));
  config.setIn(['databases', 0, 'fingerprint'], fingerprint);
  config.setIn(['compression', 'codec'], codec);
  await writeFile(file, config.toString());
}

function jetbackup(setup: Setup, command: string): MeasuredCommand {
  return {
    script: `"$NODE" "$CLI" ${command} --config "$CONFIG" --json`,
    env: { ...environment(setup), NODE: process.execPath, CLI, CONFIG: path.join(setup.home, 'jetbackup.yaml') },
    main: path.basename(process.execPath),
    writesTo: setup.repository.folders,
  };
}

function environment({ server, database, repository }: Setup): Record<string, string> {
  const { PATH = '', LC_ALL = 'C.UTF-8' } = server.environment(database);
  return { PATH, LC_ALL, DATABASE_URL: server.url(database), JETBACKUP_REPOSITORY: repository.url, ...repository.env };
}
