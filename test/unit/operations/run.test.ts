import { describe, expect, it } from 'vitest';
import { runRecordKey } from '../../../src/catalog/layout.ts';
import { readRun } from '../../../src/catalog/run-records.ts';
import { JetbackupError } from '../../../src/core/errors.ts';
import { silent } from '../../../src/core/progress.ts';
import { initRepository } from '../../../src/operations/repository.ts';
import { recordFailedStart, startRun } from '../../../src/operations/run.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createMemoryStore } from '../../support/memory-store.ts';

const { signal } = new AbortController();

function place() {
  const store = createMemoryStore({ clock: systemClock });
  const redact = (text: string) => text.replaceAll('hunter2', '[redacted]');
  return { store, deps: { store, clock: systemClock, log: silent, host: 'h', version: '0.1.0', redact } };
}
const keys = async ({ store }: ReturnType<typeof place>) => (await Array.fromAsync(store.list(''))).map(({ key }) => key);
const missing = new JetbackupError('key-missing', 'there is no signing key in /keys/hunter2');

describe('a run that fails', () => {
  it('before it could begin leaves a record like any other', async () => {
    const { store, deps } = place();
    await initRepository(deps, { recoveryText: '' }, signal);
    await recordFailedStart(deps, { operation: 'backup', databases: ['shop'] }, missing, signal);
    const [key] = (await Array.fromAsync(store.list('runs/'))).map((one) => one.key);
    const id = key?.split('/').at(-1)?.replace('.json', '') ?? '';
    expect(key).toBe(runRecordKey(id));
    expect(await readRun(store, id, signal)).toMatchObject({
      ...{ operation: 'backup', database: 'shop', result: 'failed', backup: null },
      error: { code: 'key-missing', message: 'there is no signing key in /keys/[redacted]' },
    });
  });

  it('leaves none where there is no repository: it would begin one under a mount point', async () => {
    const empty = place();
    await recordFailedStart(empty.deps, { operation: 'backup', databases: ['shop'] }, missing, signal);
    const run = startRun(empty.deps, 'backup', 'shop', '20261125T020000Z-k3f9qa');
    const gone = new JetbackupError('repository-missing', 'memory: holds no repository');
    expect(await run.failed(gone, { backup: null })).toBe(gone);
    expect(await keys(empty)).toEqual([]);
  });
});
