import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { docker, postgresServer } from '../../scripts/prerequisites.ts';
import { postgresImage } from '../support/postgres.ts';
import { until } from '../support/waiting.ts';

const script = path.resolve(import.meta.dirname, '../../scripts/demo.ts');
let temporary = '';

beforeEach(async () => {
  // All that the demo makes goes below this folder, so that leftovers can be seen. The server's own user must get in.
  temporary = await mkdtemp(path.join(tmpdir(), 'jetbackup-demo-test-'));
  await chmod(temporary, 0o755);
});

afterEach(async () => {
  await rm(temporary, { recursive: true, force: true });
});

interface Demo {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly code: number | null; readonly output: string }>;
  /** Resolves when the output holds the text, and fails when the demo ends without it. */
  seen(text: string): Promise<void>;
}

function startDemo(more: Readonly<Record<string, string>> = {}): Demo {
  const child = spawn(process.execPath, [script], {
    env: { ...process.env, TMPDIR: temporary, JETBACKUP_DEMO_MEGABYTES: '20', JETBACKUP_DEMO_INSTALL: '0', ...more },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const append = (text: string) => {
    output += text;
  };
  child.stdout.setEncoding('utf8').on('data', append);
  child.stderr.setEncoding('utf8').on('data', append);
  const ended = new Promise<{ code: number | null; output: string }>((resolve) => {
    child.once('close', (code) => resolve({ code, output }));
  });
  return {
    child,
    ended,
    async seen(text) {
      while (!output.includes(text)) {
        if (child.exitCode !== null) throw new Error(`the demo ended before it said "${text}":\n${output}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  };
}

/** Command lines of this machine's processes that name the folder. */
async function processesBelow(folder: string): Promise<string[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  const lines = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')));
  return lines.filter((line) => line.includes(folder)).map((line) => line.replaceAll('\0', ' '));
}

async function demoContainers(): Promise<string[]> {
  if (!(await docker.present())) return [];
  const { stdout } = await promisify(execFile)('docker', ['ps', '--all', '--quiet', '--filter', 'label=dev.jetbackup.demo']);
  return stdout.split('\n').filter((id) => id !== '');
}

const others = await demoContainers();
/** Of the demos that were started here. */
const containers = async () => (await demoContainers()).filter((id) => !others.includes(id));

describe.skipIf(!(await postgresServer.present()) && !(await docker.present()))('the demo', () => {
  test('loses a database, gets it back equal, and leaves nothing behind', async () => {
    const demo = startDemo();
    const { code, output } = await demo.ended;
    expect(code, output).toBe(0);
    expect(output).toMatch(/every one of the [\d,]+ rows is as it was/);
    expect(output).toMatch(/RTO: request to checked and named +│ +[\d.]+ s/);
    expect(output).toContain('equal after the restore');
    expect(await readdir(temporary)).toEqual([]);
    expect(await processesBelow(temporary)).toEqual([]);
    expect(await containers()).toEqual([]);
  });

  test.each(['A PostgreSQL server of our own', 'A database shaped like', '$ jetbackup backup', '$ jetbackup restore'])(
    'Ctrl-C after "%s" leaves no server, process or folder behind',
    async (moment) => {
      const demo = startDemo();
      await demo.seen(moment);
      await new Promise((resolve) => setTimeout(resolve, 150));
      demo.child.kill('SIGINT');
      const { code, output } = await demo.ended;
      expect(output).toContain('Nothing is left behind.');
      expect(code).toBe(130);
      expect(await readdir(temporary)).toEqual([]);
      expect(await processesBelow(temporary)).toEqual([]);
      expect(await containers()).toEqual([]);
    },
  );
});

test.skipIf(!(await docker.present()))('Ctrl-C while the demo starts its server in a container leaves none', async () => {
  // An engine that takes a second to make a container, and makes it whether or not the client is still there.
  const bin = path.join(temporary, 'bin');
  await mkdir(bin);
  const real = (await promisify(execFile)('/bin/sh', ['-c', 'command -v docker'])).stdout.trim();
  const made = path.join(temporary, 'is-making');
  const slow = `#!/bin/sh\n[ "$1" = run ] || exec ${real} "$@"\nsetsid sh -c 'sleep 1; exec ${real} "$@"' sh "$@" &\n: > ${made}\nwait $!\n`;
  await writeFile(path.join(bin, 'docker'), slow, { mode: 0o755 });

  const demo = startDemo({
    PATH: `${bin}:${process.env['PATH']}`,
    JETBACKUP_DEMO_SERVER: 'container',
    JETBACKUP_DEMO_POSTGRES_IMAGE: postgresImage(17),
  });
  await until('the engine makes the container', () => existsSync(made), 120_000);
  demo.child.kill('SIGINT');
  const { code, output } = await demo.ended;
  expect(code, output).toBe(130);
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  expect(await containers()).toEqual([]);
});
