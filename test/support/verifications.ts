import { runRecordKey } from '../../src/catalog/layout.ts';
import { bytesOf } from '../../src/core/bytes.ts';
import type { RunRecord } from '../../src/core/run-record.ts';
import type { Verification } from '../../src/core/verification.ts';
import { entryOf, type VerificationEntry } from '../../src/operations/verification-history.ts';
import type { ObjectStore } from '../../src/storage/store.ts';

export const GiB = 1024 ** 3;

/** The id that a run or a backup has that starts at this instant. */
export function idAt(instant: string, suffix = 'aaaaaa'): string {
  return `${instant.replaceAll(/[-:]|\.\d+/g, '')}-${suffix}`;
}

export interface Verified {
  readonly at: string;
  readonly rtoSeconds?: number | null;
  /** Of the dump. */
  readonly bytes?: number;
  readonly database?: string;
  readonly change?: Partial<RunRecord>;
  readonly verification?: Partial<Verification>;
}

/** The run record that a verification leaves which went well, but for what is said of it. */
export function verificationRecord({
  at,
  rtoSeconds = 600,
  bytes = 10 * GiB,
  database = 'shop',
  change,
  verification,
}: Verified): RunRecord {
  const ms = Math.round((rtoSeconds ?? 0) * 1000);
  return {
    ...{ format: 1, id: idAt(at, 'vvvvvv'), operation: 'verify', database, backup: idAt(at, 'bbbbbb'), jetbackup: '0.1.0', host: 'h' },
    ...{ startedAt: at, finishedAt: new Date(Date.parse(at) + ms).toISOString(), result: 'succeeded', error: null },
    phases: [
      { phase: 'provision', ms: Math.round(ms * 0.1) },
      { phase: 'data', ms: Math.round(ms * 0.6), bytes },
      { phase: 'post-data', ms: Math.round(ms * 0.2), bytes: Math.round(bytes / 4) },
      { phase: 'checks', ms: Math.round(ms * 0.1) },
    ],
    ...{ rtoSeconds, rpoSeconds: 3600 },
    verification: {
      outcome: 'proven',
      sandbox: { kind: 'container', description: 'postgres:17 in a container', versionNum: 170_006, profile: 'durable' },
      checks: [
        { id: 'authentic', status: 'pass', message: 'signed', ms: 1 },
        { id: 'fingerprint', status: 'pass', message: 'equal', ms: 10 },
        { id: 'canary', status: 'skip', message: 'none', ms: 0 },
      ],
      snapshotInstant: at,
      bytes: { dump: bytes, stored: Math.round(bytes / 5), database: 2 * bytes },
      ...{ jobs: 4, worstGapSeconds: 86_400, attached: true },
      ...verification,
    },
    ...change,
  };
}

export function verificationEntry(verified: Verified): VerificationEntry {
  const entry = entryOf(verificationRecord(verified));
  if (entry === undefined) throw new Error('the record is of no verification');
  return entry;
}

export async function putRun(store: ObjectStore, record: RunRecord): Promise<void> {
  await store.put(runRecordKey(record.id), bytesOf(JSON.stringify(record)));
}
