/**
 * `npm test`: builds, runs every test that this machine can run, and ends with the counts. What it cannot run is listed
 * with the line that would bring what is missing; with JETBACKUP_REQUIRE_ALL=1 that counts as failed.
 *
 * Servers come from public container images. JETBACKUP_TEST_POSTGRES_IMAGE (with `{major}`), JETBACKUP_TEST_S3_IMAGE and
 * JETBACKUP_TEST_S3_SECOND_IMAGE name others. Arguments are passed on to vitest: file names, `--project unit`, …
 */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as z from 'zod';
import { build } from './build.ts';
import { containerTests } from './container-tests.ts';
import { docker, missing, postgresServer, programs } from './prerequisites.ts';

const root = path.resolve(import.meta.dirname, '..');

/** The part of vitest's JSON report that is counted here. */
const ReportSchema = z.object({
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      assertionResults: z.array(z.object({ status: z.string(), fullName: z.string(), ancestorTitles: z.array(z.string()) })),
    }),
  ),
});
type Report = z.infer<typeof ReportSchema>;

async function runVitest(args: readonly string[]): Promise<{ report: Report; exitCode: number }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'jetbackup-test-'));
  try {
    const file = path.join(folder, 'report.json');
    const vitest = path.join(root, 'node_modules/vitest/vitest.mjs');
    const child = spawn(
      process.execPath,
      [vitest, 'run', '--passWithNoTests', '--reporter=default', '--reporter=json', `--outputFile.json=${file}`, ...args],
      {
        cwd: root,
        env: { ...process.env, JETBACKUP_TEST_BUILT: '1' },
        stdio: 'inherit',
      },
    );
    // Ctrl-C reaches vitest by itself; this process stays to count what was run.
    process.on('SIGINT', () => {});
    const exitCode = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve(code ?? 1));
    });
    const text = await readFile(file, 'utf8').catch(() => '{ "testResults": [] }');
    return { report: ReportSchema.parse(JSON.parse(text)), exitCode };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Files that failed outside any test (an import, a beforeAll) count as one failure each. */
function count({ testResults }: Report): { passed: number; failed: number; skipped: readonly string[] } {
  const tests = testResults.flatMap((file) => file.assertionResults.map((test) => ({ ...test, file: path.relative(root, file.name) })));
  const failedTests = tests.filter((test) => test.status === 'failed').length;
  const failedFiles = testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  ).length;
  return {
    passed: tests.filter((test) => test.status === 'passed').length,
    failed: failedTests + failedFiles,
    skipped: tests
      .filter((test) => test.status !== 'passed' && test.status !== 'failed')
      .map((test) => `${test.file}: ${test.ancestorTitles[0] ?? test.fullName}`),
  };
}

async function main(): Promise<number> {
  const requireAll = process.env['JETBACKUP_REQUIRE_ALL'] === '1';
  await build();

  const lacking = await missing([docker, postgresServer, ...programs]);
  const unrunnable = lacking.includes(docker) ? await containerTests(root) : [];
  const { report, exitCode } = await runVitest([...unrunnable.flatMap((file) => ['--exclude', file]), ...process.argv.slice(2)]);

  const { passed, failed, skipped } = count(report);
  const notRun = [...unrunnable.map((file) => `${file}: the whole file`), ...skipped];
  if (lacking.length > 0) {
    console.log('\nNot on this machine:');
    for (const { name, neededFor, remedy } of lacking) console.log(`  ${name} (${neededFor})\n    to have it: ${remedy}`);
  }
  if (notRun.length > 0) {
    console.log('\nSkipped:');
    for (const [group, tests] of Map.groupBy(notRun, (test) => test))
      console.log(`  ${group}${tests.length > 1 ? ` (${tests.length} tests)` : ''}`);
  }

  const strict = requireAll ? notRun.length : 0;
  if (strict > 0) console.log('JETBACKUP_REQUIRE_ALL=1: what is skipped counts as failed.');
  // vitest also fails for what no test is to blame for, such as an unhandled rejection.
  const elsewhere = failed === 0 && exitCode !== 0 ? 1 : 0;
  const failures = failed + strict + elsewhere;
  console.log(`\n${passed} passed, ${failures} failed, ${notRun.length - strict} skipped`);
  return failures > 0 || passed === 0 ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  console.log('\n0 passed, 1 failed');
  process.exitCode = 1;
}
