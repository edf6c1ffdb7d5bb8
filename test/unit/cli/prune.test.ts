import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Temporal } from 'temporal-polyfill';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RecoveryPoint } from '../../../retention/points.ts';
import { documents, ErrorDocument } from '../../../src/cli/json.ts';
import { JetbackupError } from '../../../src/core/errors.ts';
import type { PruneInput } from '../../../src/operations/prune.ts';
import { manifest, oneDatabase, runRecord, type Typed, type as typed, type World } from './command-line.ts';
import { nightly, point, surveying, surveyOf } from './retention-fakes.ts';

const checklist = { ...oneDatabase, JETBACKUP_RETENTION: 'production-checklist' };
const json = (result: Typed): unknown => JSON.parse(result.stdout);

interface Store {
  readonly locked?: Readonly<Record<string, Temporal.Instant | 'legal-hold'>>;
  readonly inUse?: Readonly<Record<string, readonly string[]>>;
  readonly spared?: readonly string[];
  readonly orphans?: readonly string[];
  readonly runRecords?: number;
  readonly uploads?: number;
}

/** A prune over these backups that does what it is told, and remembers what that was. */
function pruning(points: readonly RecoveryPoint[], store: Store = {}, seen: PruneInput[] = []): NonNullable<World['operations']> {
  return {
    surveyRetention: surveying(points),
    prune: async (_deps, input) => {
      seen.push(input);
      const databases = surveyOf(points, input).map(({ of, plan, frozenBy }) => {
        const stays = new Set([...Object.keys(store.locked ?? {}), ...Object.keys(store.inUse ?? {}), ...(store.spared ?? [])]);
        const going = input.dryRun ? [] : plan.expire.map(({ point }) => point).filter(({ id }) => !stays.has(id));
        return {
          database: of.database,
          plan,
          frozenBy,
          deleted: going,
          locked: Object.entries(store.locked ?? {}).map(([id, until]) => ({ id, until })),
          inUse: Object.entries(store.inUse ?? {}).map(([id, by]) => ({ id, by, until: Temporal.Instant.from('2026-11-20T04:00:00Z') })),
          spared: store.spared ?? [],
          orphans: store.orphans ?? [],
          run: input.dryRun ? undefined : runRecord('prune'),
        };
      });
      return { databases, runRecords: store.runRecords ?? 0, uploads: store.uploads ?? 0 };
    },
  };
}

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'jetbackup-prune-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('prune --dry-run', () => {
  it('shows every backup with all its reasons, one a line, and what would be freed', async () => {
    const seen: PruneInput[] = [];
    const { stdout, exitCode } = await typed('prune --dry-run', { env: checklist, operations: pruning(nightly(10), {}, seen) });
    expect(exitCode).toBe(0);
    expect(seen).toMatchObject([{ dryRun: true, timeZone: 'UTC', databases: [{ database: 'shop', policy: { daily: 7 } }] }]);
    expect(stdout).toContain('shop keeps 7 days, 4 weeks, 12 months');
    expect(stdout).toMatch(/ID +AS OF +STORED +WHY/);
    expect(stdout).toMatch(/20261120T020000Z-aaaaaa +2026-11-20 02:00 \+00:00 +1 GiB +stays +the newest backup\n +daily 1 of 7/);
    expect(stdout).toMatch(/20261111T020000Z-aaaaaa .* goes +daily 2026-11-11 is beyond the 7 that are kept, back to 2026-11-14\n +weekly/);
    expect(stdout).toContain('note: shop: no backup has been proven restorable');
    // The 11th to the 13th; none of them is a Sunday.
    expect(stdout).toContain('3 of 10 backups would go and free 3 GiB; 7 would stay, 7 GiB; nothing was changed (--dry-run)');
  });

  it('prints a document as documented', async () => {
    const result = await typed('prune --dry-run --json', { env: checklist, operations: pruning(nightly(10)) });
    const document = documents.prune.parse(json(result));
    expect(document).toMatchObject({ dryRun: true, databases: [{ limited: true, freedBytes: 3 * 1024 ** 3, run: null, frozenBy: null }] });
    expect(document.databases[0]?.backups).toHaveLength(10);
    expect(document.databases[0]?.backups[0]).toMatchObject({ stays: false, deleted: false, snapshotInstant: '2026-11-11T02:00:00Z' });
  });

  it('is not silenced by --quiet: it is what was asked for', async () => {
    expect((await typed('prune --dry-run --quiet', { env: checklist, operations: pruning(nightly(10)) })).stdout).toContain('would go');
  });
});

describe('prune', () => {
  it('says what it deleted and why, and what it cleaned up', async () => {
    const store = { orphans: ['20261001T020000Z-dddddd'], runRecords: 2, uploads: 1 };
    const { stdout, exitCode } = await typed('prune', { env: checklist, operations: pruning(nightly(10), store) });
    expect(exitCode).toBe(0);
    expect(stdout).toContain(
      'pruned shop: deleted 3 of 10 backups, 3 GiB\n  20261111T020000Z-aaaaaa  2026-11-11 02:00 +00:00  1 GiB\n    daily',
    );
    expect(stdout).toContain('removed what 1 dead run left: 20261001T020000Z-dddddd');
    expect(stdout).toContain('removed for their age: 2 run records, 1 unfinished upload');
    expect(stdout).not.toContain('the newest backup\n');
  });

  it('reports what the store has locked and until when, and still ends well', async () => {
    const store: Store = {
      locked: { '20261111T020000Z-aaaaaa': Temporal.Instant.from('2027-01-01T00:00:00Z'), '20261112T020000Z-aaaaaa': 'legal-hold' },
      spared: ['20261113T020000Z-aaaaaa'],
    };
    const world = { env: checklist, operations: pruning(nightly(10), store) };
    const { stdout, exitCode } = await typed('prune', world);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('pruned shop: deleted nothing; 10 backups stay');
    expect(stdout).toContain('20261111T020000Z-aaaaaa is locked in the store until 2027-01-01 00:00:00+00:00: a later prune deletes it');
    expect(stdout).toContain('20261112T020000Z-aaaaaa is under a legal hold');
    expect(stdout).toContain('20261113T020000Z-aaaaaa was pinned or otherwise decided about meanwhile');
    expect(documents.prune.parse(json(await typed('prune --json', world))).databases[0]).toMatchObject({
      freedBytes: 0,
      locked: [
        { id: '20261111T020000Z-aaaaaa', until: '2027-01-01T00:00:00Z' },
        { id: '20261112T020000Z-aaaaaa', until: 'legal-hold' },
      ],
      spared: ['20261113T020000Z-aaaaaa'],
    });
  });

  it('says of what stays because it is being read who reads it, and also before anything is done', async () => {
    const [first, second] = ['20261111T020000Z-aaaaaa', '20261112T020000Z-aaaaaa'] as const;
    const inUse = { [first]: ['restore on db1'], [second]: ['export on desk', 'verify on check'] };
    const world = { env: checklist, operations: pruning(nightly(10), { inUse }) };
    const { stdout, exitCode } = await typed('prune', world);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('pruned shop: deleted 1 of 10 backups');
    expect(stdout).toContain(`${first} is being read (restore on db1): left for the next prune`);
    expect(stdout).toContain(`${second} is being read (export on desk, verify on check): left for the next prune`);
    expect(documents.prune.parse(json(await typed('prune --json', world))).databases[0]?.inUse).toEqual([
      { id: first, by: ['restore on db1'], until: '2026-11-20T04:00:00Z' },
      { id: second, by: ['export on desk', 'verify on check'], until: '2026-11-20T04:00:00Z' },
    ]);
    expect((await typed('prune --dry-run', world)).stdout).toContain(`${first} is being read (restore on db1): it would stay for now`);
  });

  it('while deletion is frozen says why, and the very line that lifts it', async () => {
    const collapsed = nightly(10, (index) => (index === 9 ? { rows: 10 } : {}));
    const { stdout, exitCode } = await typed('prune', { env: checklist, operations: pruning(collapsed) });
    expect(exitCode).toBe(0);
    expect(stdout).toContain('20261120T020000Z-aaaaaa has 10 rows, the median of those before it is 100');
    expect(stdout).toContain('jetbackup prune --accept 20261120T020000Z-aaaaaa --reason "…"');
    expect(stdout).toContain('3 backups would go');
    const off = await typed('prune', {
      env: { ...checklist, JETBACKUP_RETENTION: 'production-checklist,collapse=off' },
      operations: pruning(collapsed),
    });
    expect(off.stdout).toContain('deleted 3 of 10');
  });

  it('names the database in the line that lifts a freeze where there are several', async () => {
    writeFileSync(
      join(directory, 'two.yaml'),
      'repository: file:///b\nretention: { daily: 7 }\ndatabases: [{ name: shop, url: "postgres://a@b/one" }, { name: two, url: "postgres://a@b/two" }]\n',
    );
    const collapsed = nightly(10, (index) => (index === 9 ? { rows: 10 } : {}));
    const { stdout } = await typed('prune', { cwd: directory, env: { JETBACKUP_CONFIG: 'two.yaml' }, operations: pruning(collapsed) });
    expect(stdout).toContain('jetbackup prune shop --accept 20261120T020000Z-aaaaaa --reason "…"');
  });

  it('warns of a freeze also where nobody reads the text: in a cron line’s mail, and beside JSON', async () => {
    const collapsed = nightly(10, (index) => (index === 9 ? { rows: 10 } : {}));
    const world = { env: checklist, operations: pruning(collapsed) };
    const quiet = await typed('prune --quiet', world);
    expect(quiet).toMatchObject({ exitCode: 0, stdout: '' });
    expect(quiet.stderr).toContain('warning: deletion of shop is frozen because of 20261120T020000Z-aaaaaa');
    expect(quiet.stderr).toContain('jetbackup prune --accept 20261120T020000Z-aaaaaa --reason');
    expect((await typed('prune --json', world)).stderr).toContain('deletion of shop is frozen');
    expect((await typed('prune', world)).stderr).not.toContain('frozen');
    expect((await typed('prune --quiet', { env: checklist, operations: pruning(nightly(10)) })).stderr).toBe('');
  });

  it('without a configured retention says that everything stays, and how to change that', async () => {
    const { stdout, exitCode } = await typed('prune', { operations: pruning(nightly(400)) });
    expect(exitCode).toBe(0);
    expect(stdout).toContain('400 backups stay');
    expect(stdout).toContain('retention: { preset: production-checklist }');
    expect(stdout).toContain('JETBACKUP_RETENTION=production-checklist');
  });

  it('of several databases prunes those that are named, each by its own policy or the default', async () => {
    writeFileSync(
      join(directory, 'two.yaml'),
      'repository: file:///b\nretention: { daily: 7 }\ndatabases: [{ name: shop, url: "postgres://a@b/one" }, { name: two, url: "postgres://a@b/two", retention: { weekly: 2 } }]\n',
    );
    const seen: PruneInput[] = [];
    const world = { cwd: directory, env: { JETBACKUP_CONFIG: 'two.yaml' }, operations: pruning(nightly(10), {}, seen) };
    await typed('prune', world);
    await typed('prune two', world);
    await typed('prune -d shop', world);
    expect(seen.map(({ databases }) => databases.map(({ database, policy: { daily, weekly } }) => [database, daily, weekly]))).toEqual([
      [
        ['shop', 7, 0],
        ['two', 0, 2],
      ],
      [['two', 0, 2]],
      [['shop', 7, 0]],
    ]);
    expect((await typed('prune tow', world)).stderr).toContain('Configured: shop, two.');
  });

  it('ends with status 12 while another prune is at work', async () => {
    const prune = async () => {
      throw new JetbackupError('locked', 'another prune works here', { hint: 'Wait for it.' });
    };
    expect((await typed('prune', { env: checklist, operations: { prune } })).exitCode).toBe(12);
  });

  it.each([
    ['prune --dry-run --simulate 13mo', 'cannot be used with'],
    ['prune --simulate soon', 'is not a time to play forward'],
    ['prune --simulate 11y', 'ten years at most'],
    ['prune --reason x', '--reason belongs to --accept'],
    ['prune --accept latest --reason x', 'is not the id of a backup'],
    ['prune --accept 20261120T020000Z-aaaaaa', 'must be said'],
    ['prune --accept 20261120T020000Z-aaaaaa --dry-run', 'cannot be used with'],
  ])('%s is wrong usage', async (line, message) => {
    const { exitCode, stderr } = await typed(line, { env: checklist });
    expect(exitCode).toBe(2);
    expect(stderr).toContain(message);
  });
});

describe('prune --accept', () => {
  it('lifts the freeze with the reason, and deletes nothing', async () => {
    const seen: unknown[] = [];
    const operations: World['operations'] = {
      acceptBackup: async (_deps, input) => {
        seen.push(input);
        const { database, id: backup, reason } = input;
        return {
          format: 1,
          kind: 'acceptance',
          repository: 'r',
          database,
          backup,
          reason,
          madeAt: '2026-11-20T12:00:00Z',
          signature: manifest().signature,
        };
      },
    };
    const line = ['prune', '--accept', '20261120T020000Z-aaaaaa', '--reason', 'old orders went to the archive'];
    const { stdout, exitCode } = await typed(line, { env: checklist, operations });
    expect(exitCode).toBe(0);
    expect(seen).toEqual([{ database: 'shop', id: '20261120T020000Z-aaaaaa', reason: 'old orders went to the archive' }]);
    expect(stdout).toContain('Nothing was deleted yet. What goes now: jetbackup prune --dry-run');
    expect(documents['prune --accept'].parse(json(await typed([...line, '--json'], { env: checklist, operations })))).toMatchObject({
      backup: '20261120T020000Z-aaaaaa',
      acceptedAt: '2026-11-20T12:00:00Z',
    });
  });
});

describe('prune --simulate', () => {
  const world: World = { env: checklist, operations: { surveyRetention: surveying(nightly(10)) } };

  it('shows what was assumed, a line a day for two weeks and then each month’s end, and from when the tiers are complete', async () => {
    const { stdout, exitCode } = await typed('prune --simulate 13mo', world);
    expect(exitCode).toBe(0);
    expect(stdout).toContain('assumed: a backup a day at 02:00 (UTC), as the last 10 were; each 1 GiB');
    const days = stdout.split('\n').filter((line) => /^\d{4}-\d\d-\d\d {2}/.test(line));
    expect(days.slice(0, 2).map((line) => line.slice(0, 10))).toEqual(['2026-11-20', '2026-11-21']);
    expect(days.slice(14, 17).map((line) => line.slice(0, 10))).toEqual(['2026-12-31', '2027-01-31', '2027-02-28']);
    expect(days.at(-1)?.slice(0, 10)).toBe('2027-12-20');
    expect(stdout).toContain('7 days: complete from 2026-11-20');
    // November is the first of the twelve.
    expect(stdout).toContain('12 months: complete from 2027-10-01');
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(110);
  });

  it('gives every day as JSON', async () => {
    const document = documents['prune --simulate'].parse(json(await typed('prune --simulate 13mo --json', world)));
    const [shop] = document.databases;
    expect(shop?.days).toHaveLength(396);
    expect(shop?.completeFrom).toEqual({ daily: '2026-11-20', weekly: expect.any(String), monthly: '2027-10-01' });
    expect(shop?.days.at(-1)?.tiers).toEqual({ hourly: 0, daily: 7, weekly: 4, monthly: 12, yearly: 0 });
  });

  it('without a policy shows how storage grows, and how to change that', async () => {
    const { stdout } = await typed('prune --simulate 30d', { operations: { surveyRetention: surveying(nightly(10)) } });
    expect(stdout).toContain('shop keeps everything');
    expect(stdout).toContain('most storage on any day: 40 GiB');
  });

  it('of backups every quarter of an hour for years asks for a shorter time', async () => {
    const often = ['20261120T114500Z-aaaaaa', '20261120T113000Z-aaaaaa', '20261120T111500Z-aaaaaa'].map((id) => point(id));
    const { exitCode, stderr } = await typed('prune --simulate 2y', { ...world, operations: { surveyRetention: surveying(often) } });
    expect(exitCode).toBe(2);
    expect(stderr).toContain('hint: Give a shorter time: --simulate 30d');
  });

  it('works from an empty repository', async () => {
    const { stdout } = await typed('prune --simulate 30d', { ...world, operations: { surveyRetention: surveying([]) } });
    expect(stdout).toContain('a backup a day at 02:00 (UTC), for there are too few to go by');
  });
});

describe('backup --prune', () => {
  const backup: NonNullable<World['operations']>['backup'] = async (_deps, input) => ({
    manifest: manifest({ database: input.database }),
    run: runRecord('backup'),
    partial: false,
  });

  it('prunes after the backup, and says both', async () => {
    const seen: PruneInput[] = [];
    const world = { env: checklist, operations: { backup, ...pruning(nightly(10), {}, seen) } };
    const { stdout, exitCode } = await typed('backup --prune', world);
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^backed up shop[\s\S]+\npruned shop: deleted 3 of 10/);
    expect(seen).toMatchObject([{ dryRun: false, databases: [{ database: 'shop' }] }]);
    expect(documents.backup.parse(json(await typed('backup --prune --json', world))).pruned?.databases[0]?.freedBytes).toBe(3 * 1024 ** 3);
  });

  it('that cannot prune has made its backup all the same: status 3, and the error', async () => {
    const prune = async () => {
      throw new JetbackupError('storage-denied', 'may not delete', { hint: 'allow it' });
    };
    const result = await typed('backup --prune --json', { env: checklist, operations: { backup, prune } });
    expect(result.exitCode).toBe(3);
    expect(result.stderr).toContain('error: pruning after the backup: may not delete\nhint: allow it');
    const document = documents.backup.parse(json(result));
    expect(document.backups).toHaveLength(1);
    expect(document).toMatchObject({ pruned: null, pruneError: { code: 'storage-denied' } });
  });

  it('prunes nothing when a backup failed', async () => {
    writeFileSync(
      join(directory, 'two.yaml'),
      'repository: file:///b\nretention: { daily: 7 }\ndatabases: [{ name: shop, url: "postgres://a@b/one" }, { name: two, url: "postgres://a@b/two" }]\n',
    );
    const one: typeof backup = async (deps, input, signal) => {
      if (input.database === 'two') throw new JetbackupError('dump-failed', 'no');
      return await backup(deps, input, signal);
    };
    const result = await typed('backup --prune --json', {
      cwd: directory,
      env: { JETBACKUP_CONFIG: 'two.yaml' },
      operations: { backup: one },
    });
    expect(result.exitCode).toBe(20);
    expect(result.stderr).toContain('nothing was pruned, since not every backup succeeded');
    expect(documents.backup.parse(json(result)).pruned).toBeNull();
  });

  it('without --prune deletes nothing', async () => {
    const result = await typed('backup --json', { env: checklist, operations: { backup } });
    expect(documents.backup.parse(json(result))).toMatchObject({ pruned: null, pruneError: null });
  });

  it('alone fails as it did', async () => {
    const failing = async () => {
      throw new JetbackupError('dump-failed', 'no');
    };
    const result = await typed('backup --prune --json', { env: checklist, operations: { backup: failing } });
    expect(ErrorDocument.parse(json(result)).error.exitCode).toBe(20);
  });
});
