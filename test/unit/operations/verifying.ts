import { Temporal } from 'temporal-polyfill';
import { JetbackupError } from '../../../src/core/errors.ts';
import { RunRecordSchema } from '../../../src/core/run-record.ts';
import { ProcessFailed } from '../../../src/platform/processes.ts';
import type { RestoreCheck } from '../../../src/verify/check.ts';
import { fakeRestorer } from '../../support/fake-sandbox.ts';
import { createMemoryStore } from '../../support/memory-store.ts';
import { simulatedClock } from '../../support/simulated-time.ts';
import { openSmallInstallation, type SmallOptions } from '../../support/small-installation.ts';

/** One database of two rows, and the records that its verifications leave. */
export async function installation(source: SmallOptions['source'] = {}) {
  const clock = simulatedClock(Temporal.Instant.from('2026-11-20T02:00:00Z'));
  const store = createMemoryStore({ clock });
  const shop = await openSmallInstallation({ store, clock, rows: () => ['1\tone\n', '2\ttwo\n'], policy: { daily: 7 }, source });
  const records = () =>
    [...store.objects]
      .filter(([key]) => key.startsWith('runs/'))
      .map(([, bytes]) => RunRecordSchema.parse(JSON.parse(Buffer.from(bytes).toString())))
      .filter(({ operation }) => operation === 'verify');
  return {
    ...{ store, shop, records },
    pass(hours: number) {
      clock.setTo(clock.now().add({ hours }));
    },
  };
}

export const passing: RestoreCheck = { id: 'fingerprint', run: async () => ({ status: 'pass', message: 'all 2 rows are there' }) };
export const failing: RestoreCheck = {
  id: 'inventory',
  run: async () => ({ status: 'fail', message: '1 object is missing', hint: 'Look.', findings: ['index public.secret_index is missing'] }),
};

/** A restore that ends as pg_restore did. */
export function failingRestore(stderr: string, end: { readonly exitCode?: number | null; readonly killedBy?: NodeJS.Signals } = {}) {
  const command = { program: '/usr/bin/pg_restore', args: [], env: {} };
  const cause = new ProcessFailed(command, end.exitCode === undefined ? 1 : end.exitCode, end.killedBy ?? null, stderr);
  return fakeRestorer({
    restoreArchive: async () => {
      throw new JetbackupError('restore-failed', `restoring data failed: ${stderr}`, { cause });
    },
  });
}

export const SERVER_ERROR =
  'pg_restore: error: could not execute query: ERROR:  relation "t" does not exist\nCommand was: ALTER TABLE t OWNER TO app;\n';
