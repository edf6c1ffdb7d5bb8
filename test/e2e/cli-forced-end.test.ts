import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createSample, type Installation, makeInstallation } from '../support/installation.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';
import { until } from '../support/waiting.ts';
import type { Wrapped } from '../support/wrapped-programs.ts';

/** Two signals so close are one keystroke. */
const SAME_KEYSTROKE_MS = 500;

async function alive(pid: number): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => 'State: X');
  return !/^State:\s*[ZX]/m.test(status);
}

describe('a second Ctrl-C, while a client program does not listen', () => {
  let server: PostgresServer;
  let shop: Installation;
  let noted: string;

  const pids = async () => (await readFile(noted, 'utf8').catch(() => '')).split('\n').filter(Boolean).map(Number);
  const living = async () => (await Promise.all((await pids()).map(alive))).filter(Boolean).length;
  /** The program notes its id and that of a worker, and neither of them heeds SIGTERM. */
  const hang = (program: Wrapped, when: string) =>
    shop.programs.wrap(
      program,
      `case "$*" in ${when}) trap "" TERM; sleep 600 & echo "$$" >> ${noted}; echo "$!" >> ${noted}; while :; do sleep 1; done ;; esac\nexec "$REAL" "$@"`,
    );

  beforeAll(async () => {
    server = await startPostgres(15);
    await createSample(server, 'shop', 1);
    shop = await makeInstallation({ server, database: 'shop' });
    await shop.backup();
  });
  beforeEach(() => {
    noted = join(shop.cli.directory, 'hanging');
  });
  afterEach(async () => {
    for (const pid of await pids()) if (await alive(pid)) process.kill(pid, 'SIGKILL');
    await rm(noted, { force: true });
    await shop.programs.restore();
  });
  afterAll(async () => {
    await shop?.[Symbol.asyncDispose]();
    await server?.stop();
  });

  it.each<[string, string[], Wrapped, string]>([
    ['backup', ['backup'], 'pg_dump', '*'],
    ['restore', ['restore', 'latest', '--as', 'restored'], 'pg_restore', '*--jobs=*'],
  ])('in a %s leaves no process, says what may be left, and the next run removes that', async (_name, line, program, when) => {
    await hang(program, when);
    const run = shop.cli.start(line);
    await until('the program and its worker hang', async () => (await living()) >= 2 || run.child.exitCode !== null);
    run.child.kill('SIGINT');
    await until('it says that it stops', () => run.stderr().includes('SIGINT: stopping and cleaning up'));
    await delay(SAME_KEYSTROKE_MS + 100);
    expect(await living(), 'the first signal waits for them').toBeGreaterThanOrEqual(2);
    run.child.kill('SIGINT');
    const ended = await run.ended;
    expect(ended, ended.stderr).toMatchObject({ code: 130, signal: null });
    expect(ended.stderr).toContain('without cleaning up');
    expect(ended.stderr).toMatch(/staging database.*may be left.*next run.*removes/);
    await until('none of them lives', async () => (await living()) === 0, 5_000);

    await shop.programs.restore();
    await shop.backup();
    await shop.restoresEqual();
    await shop.endGrace();
    await shop.expectNothingLeft(run);
  });
});
