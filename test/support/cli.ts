import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The built program, as `npm install` would put it on a user's PATH. */
const program = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'dist', 'main.js');

export interface CliResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout parsed as the one JSON document that `--json` promises. */
  json(): unknown;
}

export interface RunningCli {
  readonly child: ChildProcess;
  /** What it wrote to stderr so far. */
  stderr(): string;
  readonly ended: Promise<CliResult>;
}

/** A folder with a jetbackup configuration, and the program run in it with an environment of its own. */
export interface CliFolder extends AsyncDisposable {
  readonly directory: string;
  /** Added to the environment of every run. */
  readonly env: Record<string, string>;
  run(...args: string[]): Promise<CliResult>;
  start(args: readonly string[], env?: Readonly<Record<string, string>>): RunningCli;
}

export async function makeCliFolder(env: Readonly<Record<string, string>> = {}): Promise<CliFolder> {
  const directory = await mkdtemp(join(tmpdir(), 'jetbackup-e2e-'));
  const own: Record<string, string> = {
    PATH: process.env['PATH'] ?? '',
    HOME: directory,
    LANG: 'C.UTF-8',
    // Nothing of the machine's own cloud configuration may reach a test.
    AWS_CONFIG_FILE: join(directory, 'no-aws-config'),
    AWS_SHARED_CREDENTIALS_FILE: join(directory, 'no-aws-credentials'),
    AWS_EC2_METADATA_DISABLED: 'true',
    ...env,
  };
  const running = new Set<ChildProcess>();
  const start: CliFolder['start'] = (args, extra = {}) => {
    const child = spawn(process.execPath, [program, ...args], {
      cwd: directory,
      env: { ...own, ...extra },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const ended = new Promise<CliResult>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        running.delete(child);
        resolve({ code, signal, stdout, stderr, json: () => JSON.parse(stdout) as unknown });
      });
    });
    return { child, stderr: () => stderr, ended };
  };
  return {
    directory,
    env: own,
    start,
    run: (...args) => start(args).ended,
    async [Symbol.asyncDispose]() {
      for (const child of running) child.kill('SIGKILL');
      await rm(directory, { recursive: true, force: true });
    },
  };
}
