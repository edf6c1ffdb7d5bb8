import { describe, expect, it } from 'vitest';
import type { RecoveryPoint } from '../../../retention/points.ts';
import { documents } from '../../../src/cli/json.ts';
import { manifest, oneDatabase, type Typed, type as typed, type World } from './command-line.ts';
import { nightly, point, surveying } from './retention-fakes.ts';

const checklist = { ...oneDatabase, JETBACKUP_RETENTION: 'production-checklist' };
const json = (result: Typed): unknown => JSON.parse(result.stdout);

/** A repository with these backups, whose manifests say nothing of pins. */
function repository(points: readonly RecoveryPoint[], checked = true): NonNullable<World['operations']> {
  const listed = points.map(({ database, id, instant }) => ({
    database,
    id,
    manifest: manifest({ database, id, snapshotInstant: new Date(instant).toISOString() }),
    authentic: checked ? true : undefined,
  }));
  return {
    listBackups: async () => listed,
    showBackup: async (_deps, { moment }) => {
      const found = listed.find(({ id }) => moment.kind === 'id' && moment.id === id);
      if (found === undefined) throw new Error('no such backup');
      return found;
    },
    surveyRetention: surveying(points),
  };
}

const rowOf = (stdout: string, id: string) => stdout.split('\n').find((line) => line.includes(id));

describe('list', () => {
  it('shows the tier that keeps each backup, whether it is proven, and the day on which it will go', async () => {
    const points = nightly(10, (index) => (index === 1 ? { pin: { reason: 'audit' } } : {}));
    const { stdout } = await typed('list', { env: checklist, operations: repository(points) });
    expect(stdout).toMatch(/AUTHENTIC +PROVEN +TIER +KEPT UNTIL +TAGS/);
    expect(rowOf(stdout, '20261120T02')).toMatch(/yes +no +daily 1\/7, weekly, monthly +2026-11-27/);
    expect(rowOf(stdout, '20261115T02')).toMatch(/daily 6\/7, weekly +2026-12-07/);
    expect(rowOf(stdout, '20261111T02')).toMatch(/goes +next prune/);
    expect(rowOf(stdout, '20261112T02')).toMatch(/pinned +- +deploy=v2\.3 pinned: audit/);
  });

  it('says the same as JSON', async () => {
    const points = nightly(10, (index) => (index === 1 ? { pin: { reason: 'audit', until: Date.parse('2027-01-01T00:00:00Z') } } : {}));
    const { backups } = documents.list.parse(json(await typed('list --json', { env: checklist, operations: repository(points) })));
    expect(backups.at(-1)).toMatchObject({
      tiers: [
        { tier: 'daily', slot: '2026-11-20', place: 1, of: 7 },
        { tier: 'weekly', slot: '2026-W47', place: 1, of: 4 },
        { tier: 'monthly', slot: '2026-11', place: 1, of: 12 },
      ],
      reasons: expect.arrayContaining(['the newest backup']),
      goesOn: '2026-11-27',
      proof: 'unproven',
      pin: null,
    });
    expect(backups[1]).toMatchObject({ pin: { reason: 'audit', until: '2027-01-01T00:00:00Z' }, goesOn: '2027-01-01', tiers: [] });
  });

  it('keeps everything of a database that is not configured here', async () => {
    const points = [...nightly(10), ...nightly(10).map((one) => ({ ...one, database: 'other' }))];
    const { stdout } = await typed('list', { env: checklist, operations: repository(points) });
    const others = stdout.split('\n').filter((line) => line.startsWith('other'));
    expect(others).toHaveLength(10);
    for (const line of others) expect(line).toMatch(/ (newest|-) +- +deploy/);
  });

  it('does not say when something goes while deletion is frozen', async () => {
    const points = nightly(10, (index) => (index === 9 ? { rows: 1 } : {}));
    const { stdout } = await typed('list', { env: checklist, operations: repository(points) });
    expect(rowOf(stdout, '20261111T02')).toMatch(/frozen +- +deploy/);
    expect(rowOf(stdout, '20261115T02')).toMatch(/daily 6\/7, weekly +- +deploy/);
  });

  it('says nothing of retention where no public key is known, for then no pin can be trusted', async () => {
    const { surveyRetention: _, ...operations } = repository(nightly(2), false);
    const { stdout, exitCode } = await typed('list', { env: checklist, operations });
    expect(exitCode).toBe(0);
    expect(rowOf(stdout, '20261120T02')).toMatch(/unchecked +- +- +- +deploy/);
    const { backups } = documents.list.parse(json(await typed('list --json', { env: checklist, operations })));
    expect(backups[0]).toMatchObject({ tiers: [], reasons: [], goesOn: null, proof: null });
  });
});

describe('show', () => {
  it('prints every reason why a backup stays, or why it goes', async () => {
    const operations = repository(nightly(10));
    const kept = await typed('show 20261115T020000Z-aaaaaa', { env: checklist, operations });
    expect(kept.stdout).toMatch(/stays +daily 6 of 7: stands for 2026-11-15\n +weekly 2 of 4: stands for 2026-W46\n/);
    expect(kept.stdout).toMatch(/until +2026-12-07/);
    const going = await typed('show 20261111T020000Z-aaaaaa', { env: checklist, operations });
    expect(going.stdout).toMatch(/goes +daily 2026-11-11 is beyond the 7/);
    expect(going.stdout).toMatch(/until +next prune/);
    const document = documents.show.parse(json(await typed('show 20261115T020000Z-aaaaaa --json', { env: checklist, operations })));
    expect(document.reasons).toHaveLength(2);
  });

  it('shows a pin that was made after the backup', async () => {
    const pinned = point('20261120T020000Z-aaaaaa', { pin: { reason: 'audit', until: Date.parse('2027-01-01T00:00:00Z') } });
    const { stdout } = await typed(`show ${pinned.id}`, { env: checklist, operations: repository([pinned]) });
    expect(stdout).toMatch(/pinned +audit, until 2027-01-01 00:00:00\+00:00/);
  });
});
