import { createInterface } from 'node:readline/promises';
import { $, ProcessOutput } from 'zx';
import { findServerPrograms } from './postgres-programs.ts';
import { docker, inPath } from './prerequisites.ts';
import { startFromPrograms, startInContainer, type ThrowawayPostgres } from './throwaway-postgres.ts';

/** Says a line to the person at the terminal. */
export type Say = (text: string) => void;

const DEFAULT_IMAGE = 'postgres:18';
/** Nothing to start a server from, and nothing that may be installed; the message holds the line to type. */
export class NoPostgres extends Error {}

/**
 * A throwaway server from what is there: this machine's own programs; else a container; else, where that is allowed,
 * programs that it installs, saying so (and asking, where there is somebody to ask).
 */
export async function obtainPostgres(say: Say, signal: AbortSignal): Promise<ThrowawayPostgres> {
  const wanted = process.env['JETBACKUP_DEMO_SERVER'] ?? 'any';
  const image = process.env['JETBACKUP_DEMO_POSTGRES_IMAGE'] ?? DEFAULT_IMAGE;

  if (wanted !== 'container') {
    const bindir = await findServerPrograms();
    if (bindir !== undefined) return await startFromPrograms(bindir, signal);
    say('No PostgreSQL server programs on this machine.');
  }
  // Programs out of an image run on Linux only, so elsewhere a container would leave the demo without pg_dump.
  if (wanted !== 'programs' && process.platform === 'linux' && (await docker.present())) {
    say(`Docker is here: starting a container of ${image} (downloads it the first time).`);
    try {
      return await startInContainer(image, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (wanted === 'container') throw error;
      say(`That did not work: ${gist(error)}`);
    }
  }
  await install(say, signal);
  const bindir = await findServerPrograms();
  if (bindir === undefined)
    throw new NoPostgres('PostgreSQL was installed, but its server programs (initdb, postgres) are not where they are looked for.');
  return await startFromPrograms(bindir, signal);
}

interface PackageManager {
  readonly program: string;
  readonly packages: readonly string[];
  readonly needsRoot: boolean;
  /** Commands in order, the last of which installs. */
  readonly commands: readonly (readonly string[])[];
}

const packageManagers: readonly PackageManager[] = [
  {
    program: 'apt-get',
    packages: ['postgresql'],
    needsRoot: true,
    commands: [
      ['apt-get', '-qq', 'update'],
      ['apt-get', '-qq', 'install', '-y', '--no-install-recommends', 'postgresql'],
    ],
  },
  { program: 'dnf', packages: ['postgresql-server'], needsRoot: true, commands: [['dnf', '-q', 'install', '-y', 'postgresql-server']] },
  {
    program: 'apk',
    packages: ['postgresql', 'postgresql-client'],
    needsRoot: true,
    commands: [['apk', 'add', '-q', 'postgresql', 'postgresql-client']],
  },
  { program: 'brew', packages: ['postgresql@17'], needsRoot: false, commands: [['brew', 'install', '-q', 'postgresql@17']] },
];

/**
 * Installs a server by the machine's package manager. At a terminal it asks; without one it goes ahead only as root
 * (a container, a CI job), or with JETBACKUP_DEMO_INSTALL=1 or CI set; JETBACKUP_DEMO_INSTALL=0 forbids it.
 */
async function install(say: Say, signal: AbortSignal): Promise<void> {
  const manager = await firstAsync(packageManagers, ({ program }) => inPath(program));
  if (manager === undefined) {
    throw new NoPostgres('The demo needs PostgreSQL or Docker. Install one of them: https://www.postgresql.org/download/');
  }
  const isRoot = process.getuid?.() === 0;
  const prefix = manager.needsRoot && !isRoot ? ['sudo'] : [];
  const lines = manager.commands.map((command) => [...prefix, ...command].join(' '));
  const byHand = new NoPostgres(`The demo needs PostgreSQL or Docker. Type this, and start it again:\n\n    ${lines.join(' && ')}\n`);

  const choice = process.env['JETBACKUP_DEMO_INSTALL'];
  if (choice === '0') throw byHand;
  const atTerminal = process.stdin.isTTY === true && process.stdout.isTTY === true;
  const allowedUnasked = choice === '1' || (!atTerminal && (isRoot || (process.env['CI'] ?? '') !== ''));
  if (!allowedUnasked && !atTerminal) throw byHand;
  // With a terminal sudo may ask for the password itself; without one it must not need any.
  if (prefix.length > 0 && !atTerminal && (await $({ nothrow: true, quiet: true })`sudo -n true`).exitCode !== 0) throw byHand;

  const packages = manager.packages.join(' and ');
  if (!allowedUnasked) {
    const question = createInterface({ input: process.stdin, output: process.stdout });
    const answer = await question.question(`The demo needs the package ${packages}. Install it now with "${lines.at(-1)}"? [y/N] `, {
      signal,
    });
    question.close();
    if (!/^y(es)?$/i.test(answer.trim())) throw byHand;
  }
  say(`Installing ${packages}: ${lines.join(' && ')}`);
  for (const command of manager.commands) {
    const environment = ['DEBIAN_FRONTEND=noninteractive', ...command];
    const done = await $({ nothrow: true, quiet: true, stdio: ['inherit', 'pipe', 'pipe'] })`${prefix} env ${environment}`;
    signal.throwIfAborted();
    if (done.exitCode !== 0) throw new NoPostgres(`${command.join(' ')} failed:\n${done.stderr.trim()}`);
  }
}

async function firstAsync<T>(values: readonly T[], test: (value: T) => Promise<boolean>): Promise<T | undefined> {
  for (const value of values) if (await test(value)) return value;
  return undefined;
}

/** The line that says what went wrong; Docker's last one only names its help. */
function gist(error: unknown): string {
  const text = error instanceof ProcessOutput ? error.stderr : error instanceof Error ? error.message : String(error);
  const lines = text.trim().split('\n');
  return lines.find((line) => /error|unknown|denied|cannot|failed/i.test(line)) ?? lines.at(-1) ?? '';
}
