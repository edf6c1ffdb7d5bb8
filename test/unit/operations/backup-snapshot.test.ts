import { Temporal } from 'temporal-polyfill';
import { describe, expect, test } from 'vitest';
import { JetbackupError } from '../../../src/core/errors.ts';
import type { Fingerprint } from '../../../src/core/fingerprint.ts';
import type { DatabaseSource } from '../../../src/operations/backup-attempt.ts';
import { noFingerprint } from '../../../src/postgres/fingerprint.ts';
import { createMemoryStore } from '../../support/memory-store.ts';
import { simulatedClock } from '../../support/simulated-time.ts';
import { openSmallInstallation } from '../../support/small-installation.ts';

const canary = { schema: 'public', table: 'jetbackup_canary' };
const values = [{ name: 'rows', sql: 'SELECT count(*) FROM t' }];
const counts: Fingerprint = { ...noFingerprint, mode: 'counts' };
type FingerprintRequest = Parameters<DatabaseSource['takeFingerprint']>[1];

async function installation(source: Partial<DatabaseSource>, rows: () => readonly string[] = () => ['a row\n']) {
  const clock = simulatedClock(Temporal.Instant.from('2026-10-01T02:00:00Z'));
  const store = createMemoryStore({ clock });
  const asked: FingerprintRequest[] = [];
  const taking: Partial<DatabaseSource> = {
    takeFingerprint: async (_, request) => {
      asked.push(request);
      return request.mode === 'off' ? noFingerprint : counts;
    },
  };
  return { ...(await openSmallInstallation({ store, clock, policy: {}, rows, source: { ...taking, ...source } })), asked };
}

describe('a backup with values and a canary', () => {
  test('asks for both where the snapshot is, under its own id', async () => {
    const written: unknown[] = [];
    const { backedUp, asked } = await installation({
      writeCanary: async (_, row) => {
        written.push(row);
        return undefined;
      },
    });
    const { manifest, partial } = await backedUp({ fingerprint: 'counts', values, canary });
    expect(partial).toBe(false);
    expect(written).toEqual([{ ...canary, backup: manifest.id, lockTimeoutMs: 1_000 }]);
    expect(asked).toMatchObject([{ values, canary: { ...canary, backup: manifest.id } }]);
  });

  test('goes on without a canary that could not be written, and says so: done in part', async () => {
    const omission = { text: 'no canary was written: the source is a standby, which takes no writes', hint: 'Back up from the primary.' };
    const { backedUp, asked, warnings } = await installation({ writeCanary: async () => omission });
    const { manifest, partial } = await backedUp({ fingerprint: 'counts', canary });
    expect(partial).toBe(true);
    expect(manifest.warnings).toEqual([omission.text]);
    expect(warnings).toEqual([omission.text]);
    expect(asked[0]).not.toHaveProperty('canary');
  });

  test('that lacks one of its values is done in part; what to type about it stays out of the manifest', async () => {
    const { backedUp } = await installation({
      takeFingerprint: async (_, request) => {
        request.onOmission?.({ text: 'the value "rows" was not recorded: its query failed (SQLSTATE 42P01)', hint: 'relation "secret"' });
        return counts;
      },
    });
    const { manifest, partial } = await backedUp({ fingerprint: 'counts', values });
    expect(partial).toBe(true);
    expect(manifest.warnings).toEqual(['the value "rows" was not recorded: its query failed (SQLSTATE 42P01)']);
    expect(JSON.stringify(manifest)).not.toContain('secret');
  });

  test('writes its row under one id, and tells of it once, in however many attempts', async () => {
    const ids: string[] = [];
    let attempts = 0;
    const rows = () => {
      attempts += 1;
      if (attempts < 3) throw new JetbackupError('dump-interrupted-by-lock', 'a table is locked');
      return ['a row\n'];
    };
    const clock = simulatedClock(Temporal.Instant.from('2026-10-01T02:00:00Z'));
    const impatient = {
      ...clock,
      sleep: async (ms: number, signal?: AbortSignal) => (ms < 60_000 ? undefined : await clock.sleep(ms, signal)),
    };
    const { backedUp } = await openSmallInstallation({
      ...{ store: createMemoryStore({ clock }), clock: impatient, policy: {}, rows },
      source: {
        takeFingerprint: async () => counts,
        writeCanary: async (_, { backup }) => {
          ids.push(backup);
          return { text: 'no canary was written', hint: '' };
        },
      },
    });
    const { manifest } = await backedUp({ fingerprint: 'counts', canary, lockRetries: 3 });
    expect(ids).toEqual([manifest.id, manifest.id, manifest.id]);
    expect(manifest.warnings).toEqual(['no canary was written']);
  });

  test.each([
    ['is not configured', { fingerprint: 'counts' as const }],
    ['could not be recorded, without a fingerprint', { fingerprint: 'off' as const, canary }],
  ])('never writes to the database where the canary %s', async (_, input) => {
    const { backedUp } = await installation({ writeCanary: async () => expect.unreachable() });
    expect((await backedUp(input)).partial).toBe(false);
  });
});
