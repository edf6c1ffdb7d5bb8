import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { documents } from '../../../src/cli/json.ts';
import { JetbackupError } from '../../../src/core/errors.ts';
import type { VerifyInput, VerifyResult } from '../../../src/operations/verify.ts';
import type { Choice } from '../../../src/operations/verify-choice.ts';
import { oneDatabase, runRecord, type Typed, type as typed, type World } from './command-line.ts';

const NEWEST = '20261120T020000Z-aaaaaa';
const OLDER = '20261101T020000Z-bbbbbb';
const json = (result: Typed): unknown => JSON.parse(result.stdout);

const sandbox = { kind: 'container', description: 'postgres:17 in a container', versionNum: 170006, profile: 'fast' } as const;

function told(id: string, outcome: VerifyResult['outcome']): VerifyResult {
  const failed = outcome === 'failed';
  const checks = [
    { id: 'archive' as const, status: 'pass' as const, message: 'read to its end', ms: 3, hint: undefined, findings: [] },
    {
      ...{ id: 'fingerprint' as const, status: failed ? ('fail' as const) : ('pass' as const), ms: 1200 },
      message: failed ? '1 table differs' : '12 rows in 3 tables are as they were',
      hint: failed ? 'Verify an older backup.' : undefined,
      findings: failed ? ['public.orders: 1 row missing (5 at backup, 4 now)'] : [],
    },
    { id: 'amcheck' as const, status: 'skip' as const, message: 'the extension is not there', ms: 0, hint: undefined, findings: [] },
  ];
  const verification = {
    ...{ outcome, sandbox, jobs: 2, attached: true, worstGapSeconds: 90_000, snapshotInstant: '2026-11-20T02:00:00Z' },
    checks: checks.map(({ id: check, status, message, ms }) => ({ id: check, status, message, ms })),
    bytes: { dump: 1_000_000, stored: 100_000, database: 2_000_000 },
  };
  const run = {
    ...runRecord('verify'),
    ...{ backup: id, result: failed ? ('failed' as const) : ('succeeded' as const), rtoSeconds: 61.5, rpoSeconds: 36_000, verification },
    phases: [
      { phase: 'provision', ms: 1500 },
      { phase: 'data', ms: 60_000, bytes: 600_000_000 },
    ],
  };
  return { database: 'shop', backup: id, outcome, sandbox, checks, run };
}

/** Verifications that end as the ids say; what was asked for is remembered. */
function verifying(
  ends: Readonly<Record<string, VerifyResult['outcome'] | JetbackupError>>,
  seen: { choices: Choice[]; inputs: VerifyInput[] } = { choices: [], inputs: [] },
): NonNullable<World['operations']> {
  return {
    chooseBackups: async (_deps, { choice }) => {
      seen.choices.push(choice);
      return Object.keys(ends);
    },
    verifyBackup: async (_deps, input) => {
      seen.inputs.push(input);
      const end = ends[input.id];
      if (end === undefined || end instanceof JetbackupError) throw end ?? new Error('unknown');
      return told(input.id, end);
    },
  };
}

const unavailable = new JetbackupError('sandbox-unavailable', 'no container engine answers', { hint: 'Start Docker.' });

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'jetbackup-verify-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('verify', () => {
  it('takes the newest backup, and shows each check, where the time went, RTO with its profile, and RPO', async () => {
    const seen = { choices: [] as Choice[], inputs: [] as VerifyInput[] };
    const { stdout, exitCode } = await typed('verify', { operations: verifying({ [NEWEST]: 'proven' }, seen) });
    expect(exitCode).toBe(0);
    expect(seen.choices).toEqual([{ kind: 'moment', moment: { kind: 'latest' } }]);
    expect(seen.inputs).toMatchObject([{ database: 'shop', id: NEWEST, profile: 'fast', jobs: 2 }]);
    expect(stdout).toContain(`proven shop: ${NEWEST}`);
    expect(stdout).toContain('in postgres:17 in a container, profile fast');
    expect(stdout).toContain('pass  fingerprint: 12 rows in 3 tables are as they were');
    expect(stdout).toContain('skip  amcheck: the extension is not there');
    expect(stdout).toMatch(/RTO 1m 1s, profile fast/);
    expect(stdout).toMatch(/data +1m +572 MiB +9\.54 MiB\/s/);
    expect(stdout).toMatch(/RPO 10h now; at worst 1d 1h, of the gaps that reach into the last 30 days/);
  });

  it('ends with 30 where a check failed, and says what differs and what next', async () => {
    const { stdout, exitCode } = await typed('verify', { operations: verifying({ [NEWEST]: 'failed' }) });
    expect(exitCode).toBe(30);
    expect(stdout).toContain(`FAILED shop: ${NEWEST}`);
    expect(stdout).toContain('FAIL  fingerprint: 1 table differs');
    expect(stdout).toContain('public.orders: 1 row missing');
    expect(stdout).toContain('hint: Verify an older backup.');
  });

  it('ends with 32 where nothing could be told, and never calls that a pass', async () => {
    const { stdout, stderr, exitCode } = await typed('verify', { operations: verifying({ [NEWEST]: unavailable }) });
    expect(exitCode).toBe(32);
    expect(stdout).toContain('NOT VERIFIED');
    expect(stdout).not.toContain('proven');
    expect(stderr).toContain('hint: Start Docker.');
  });

  it('goes on after one that could not be verified, and lets a failed one decide how it ends', async () => {
    const result = await typed('verify --all-unproven --json', { operations: verifying({ [NEWEST]: unavailable, [OLDER]: 'failed' }) });
    expect(result.exitCode).toBe(30);
    expect(documents.verify.parse(json(result))).toMatchObject({
      verified: [{ backup: OLDER, outcome: 'failed', attached: true, worstGapSeconds: 90_000 }],
      unverified: [{ backup: NEWEST, error: { code: 'sandbox-unavailable', exitCode: 32 } }],
    });
  });

  it('says so where every backup has been looked at', async () => {
    const { stdout, exitCode } = await typed('verify --all-unproven', { operations: verifying({}) });
    expect(exitCode).toBe(0);
    expect(stdout).toContain('nothing to verify');
  });

  it('hands on how many older ones to take, the profile and the jobs', async () => {
    const seen = { choices: [] as Choice[], inputs: [] as VerifyInput[] };
    await typed('verify --sample 2 --profile durable --jobs 5', { operations: verifying({ [OLDER]: 'proven' }, seen) });
    expect(seen.choices).toEqual([{ kind: 'sample', count: 2 }]);
    expect(seen.inputs).toMatchObject([{ profile: 'durable', jobs: 5 }]);
  });

  it('refuses WHEN beside a choice of several, and a sandbox of no known kind', async () => {
    expect(await typed('verify latest --sample 2')).toMatchObject({ exitCode: 2 });
    expect(await typed('verify --sample 2 --all-unproven')).toMatchObject({ exitCode: 2 });
    const { exitCode, stderr } = await typed('verify --sandbox vm');
    expect(exitCode).toBe(2);
    expect(stderr).toContain('--sandbox auto, container, local');
  });

  it('warns of a password in --sandbox and shows it nowhere', async () => {
    const { stderr, stdout } = await typed('verify --sandbox postgres://me:s3cretword@db/', {
      operations: verifying({ [NEWEST]: new JetbackupError('unverified', 'no connection with s3cretword') }),
    });
    expect(stderr).toContain('the password in --sandbox');
    expect(stderr + stdout).not.toContain('s3cretword');
  });

  it('writes a JUnit report in which what could not be verified is an error', async () => {
    const junit = join(directory, 'report.xml');
    await typed(['verify', '--all-unproven', '--junit', junit], { operations: verifying({ [NEWEST]: unavailable, [OLDER]: 'failed' }) });
    const report = readFileSync(junit, 'utf8');
    expect(report).toContain('tests="4" failures="1" errors="1" skipped="1"');
    expect(report).toContain('public.orders: 1 row missing');
  });
});

describe('backup --verify', () => {
  it('verifies what was made just now, and ends as the verification does', async () => {
    const { manifest } = await import('./command-line.ts');
    const made = { manifest: manifest({ id: NEWEST }), run: runRecord('backup'), partial: false };
    const operations = { backup: async () => made, ...verifying({ [NEWEST]: 'failed' }) };
    const result = await typed('backup --verify --json', { operations, env: oneDatabase });
    expect(result.exitCode).toBe(30);
    expect(documents.backup.parse(json(result))).toMatchObject({
      backups: [{ id: NEWEST }],
      verification: { verified: [{ backup: NEWEST, outcome: 'failed' }] },
    });
  });
});
