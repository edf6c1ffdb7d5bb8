import { describe, expect, it } from 'vitest';
import { isNewerFormat, JetbackupError } from '../../../src/core/errors.ts';
import type { Fingerprint } from '../../../src/core/fingerprint.ts';
import { generateSigningKey, loadSigningKey } from '../../../src/crypto/signature.ts';
import { noFingerprint } from '../../../src/postgres/fingerprint.ts';
import type { RestoreCheck } from '../../../src/verify/check.ts';
import { fakeRestorer, fakeSandboxes } from '../../support/fake-sandbox.ts';
import { DATABASE } from '../../support/small-installation.ts';
import { failingRestore, installation, SERVER_ERROR } from './verifying.ts';

describe('a verification that could not be made', () => {
  const cases: readonly (readonly [string, Parameters<Awaited<ReturnType<typeof installation>>['shop']['verify']>[1], string])[] = [
    ['there is no sandbox', { sandboxes: fakeSandboxes({ refuse: 'no engine answers' }) }, 'sandbox-unavailable'],
    [
      'the server dies while rows are loaded',
      {
        sandboxes: fakeSandboxes({ trouble: 'the container was killed' }),
        restorer: failingRestore(SERVER_ERROR),
      },
      'unverified',
    ],
    [
      'its disk is full',
      { restorer: failingRestore('pg_restore: error: ERROR:  could not extend file "base/1": No space left on device') },
      'unverified',
    ],
    ['pg_restore is killed', { restorer: failingRestore('', { exitCode: null, killedBy: 'SIGKILL' }) }, 'unverified'],
    [
      'pg_restore cannot be started',
      {
        restorer: failingRestore('pg_restore: error while loading shared libraries: libpq.so.5: cannot open shared object file', {
          exitCode: 127,
        }),
      },
      'unverified',
    ],
    [
      'pg_restore says nothing that is about the dump',
      { restorer: failingRestore('pg_restore: error: could not create worker process: Resource temporarily unavailable') },
      'unverified',
    ],
    [
      'a library is missing on the sandbox',
      {
        restorer: failingRestore(
          'pg_restore: error: could not execute query: ERROR:  could not access file "$libdir/house": No such file or directory',
        ),
      },
      'unverified',
    ],
    [
      'an extension wants to be preloaded',
      {
        restorer: failingRestore(
          'pg_restore: error: could not execute query: ERROR:  pg_cron can only be loaded via shared_preload_libraries',
        ),
      },
      'unverified',
    ],
    [
      'a statement is canceled',
      { restorer: failingRestore('pg_restore: error: could not execute query: ERROR:  canceling statement due to statement timeout') },
      'unverified',
    ],
    [
      'the connection breaks at a table with a telling name',
      {
        restorer: failingRestore(
          'pg_restore: error: error returned by PQputCopyData: server closed the connection unexpectedly\npg_restore: from TOC entry 1; TABLE DATA corrupt_uploads app',
        ),
      },
      'unverified',
    ],
    [
      'the image lacks an extension',
      {
        restorer: fakeRestorer({
          missingPrerequisites: () => [{ code: 'extension-missing', message: 'postgis is missing', hint: 'Install postgis.' }],
        }),
      },
      'unverified',
    ],
    [
      'a check cannot look',
      {
        checks: [
          {
            id: 'fingerprint',
            run: async () => {
              throw new JetbackupError('database-unreachable', 'gone');
            },
          },
        ],
      },
      'unverified',
    ],
    [
      'the sandbox is of an older minor version, and pg_restore complains',
      {
        restorer: fakeRestorer({
          inspectTarget: async (settings) => {
            const state = await fakeRestorer().inspectTarget(settings);
            return { ...state, server: { ...state.server, versionNum: state.server.versionNum - 1 } };
          },
          restoreArchive: failingRestore('pg_restore: error: ERROR:  unrecognized parameter "new_in_this_minor"').restoreArchive,
        }),
      },
      'unverified',
    ],
    [
      'there are no client programs',
      {
        restorer: fakeRestorer({
          findTools: async () => {
            throw new JetbackupError('tools-missing', 'no pg_restore', { hint: 'Install it.' });
          },
        }),
      },
      'unverified',
    ],
  ];
  it.each(cases)('is never a pass and no proof: %s', async (_, change, code) => {
    const { shop, records, store } = await installation();
    const { id } = await shop.backup();
    const before = [...store.objects.keys()].filter((key) => !key.startsWith('runs/'));
    const error = await shop.verify(id, change).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code, exitCode: 32 });
    expect((error as JetbackupError).hint).toMatch(/\S/);
    expect(records()).toMatchObject([{ result: 'failed', error: { code }, verification: { outcome: null, attached: false } }]);
    // No proof, and nothing else but the run record.
    expect([...store.objects.keys()].filter((key) => !key.startsWith('runs/'))).toEqual(before);
    expect((await shop.survey()).points).toMatchObject([{ proof: 'unproven' }]);
    const { sandboxes } = change ?? {};
    if (sandboxes !== undefined && 'started' in sandboxes) {
      expect((sandboxes as ReturnType<typeof fakeSandboxes>).started.every(({ gone }) => gone)).toBe(true);
    }
  });
});

describe('what cannot be told', () => {
  it('is whether a backup without a fingerprint is what was there: restored is not proven', async () => {
    const { shop, records, store } = await installation();
    const { id } = await shop.backup();
    const skipping: RestoreCheck = { id: 'fingerprint', run: async () => ({ status: 'skip', message: 'no fingerprint' }) };
    await expect(shop.verify(id, { checks: [skipping] })).rejects.toMatchObject({ code: 'unverified', exitCode: 32 });
    expect(records()).toMatchObject([{ verification: { outcome: null, attached: false }, rtoSeconds: 0 }]);
    expect(store.objects.has(`${DATABASE}/${id}/proof.json`)).toBe(false);
  });

  it('is a backup of a key that is not trusted here: nothing is found bad', async () => {
    const { shop } = await installation();
    const { id } = await shop.backup();
    const stranger = loadSigningKey(generateSigningKey().privatePem, 'the test');
    await expect(shop.verify(id, { publicKeys: [stranger.publicKey] })).rejects.toMatchObject({ code: 'key-missing' });
    expect((await shop.survey()).points).toMatchObject([{ proof: 'unproven' }]);
  });

  it.each(['a fingerprint', 'a manifest'])(
    'is a backup with %s of a newer jetbackup: nothing is found bad, and nothing proven',
    async (what) => {
      // Assigned, since the type knows of version 1 alone.
      const newer: Fingerprint = Object.assign({ ...noFingerprint, mode: 'content' as const }, { version: 2 });
      const { shop, records, store } = await installation({
        takeFingerprint: async () => (what === 'a fingerprint' ? newer : noFingerprint),
      });
      const { id } = await shop.backup({ fingerprint: 'content' });
      const key = `${DATABASE}/${id}/manifest.json`;
      if (what === 'a manifest')
        store.objects.set(
          key,
          Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(store.objects.get(key) ?? '').toString()), format: 2 })),
        );
      const sandboxes = fakeSandboxes();
      const error = await shop.verify(id, { sandboxes }).then(
        ({ outcome }) => outcome,
        (reason: unknown) => reason,
      );
      expect(error).toMatchObject({ code: 'damaged', hint: 'Use a newer jetbackup.' });
      expect(isNewerFormat(error)).toBe(true);
      expect(sandboxes.started).toEqual([]);
      expect(records()).toMatchObject([{ result: 'failed', error: { code: 'damaged' }, verification: { outcome: null, attached: false } }]);
      expect(
        records()
          .flatMap(({ verification }) => verification?.checks ?? [])
          .filter(({ status }) => status === 'fail'),
      ).toEqual([]);
      expect(store.objects.has(`${DATABASE}/${id}/proof.json`)).toBe(false);
      expect((await shop.survey()).points).toMatchObject([{ proof: 'unproven' }]);
    },
  );

  it('is written without a name or a value of the database', async () => {
    const { shop, store } = await installation();
    const { id } = await shop.backup();
    const restorer = failingRestore(
      'pg_restore: error: could not access file "x": y\nERROR:  invalid input for table "cards": "4111-1111"',
      {
        exitCode: null,
        killedBy: 'SIGKILL',
      },
    );
    await expect(shop.verify(id, { restorer })).rejects.toMatchObject({ message: expect.stringContaining('cards') });
    // With the dash: four digits alone are in one digest out of a thousand.
    for (const bytes of store.objects.values())
      expect(Buffer.from(bytes).includes('cards') || Buffer.from(bytes).includes('4111-1111')).toBe(false);
  });

  it('ends after its time', async () => {
    const { shop, pass } = await installation();
    const { id } = await shop.backup();
    const endless: RestoreCheck = {
      id: 'queries',
      run: (_, signal) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason));
          pass(6);
        }),
    };
    await expect(shop.verify(id, { checks: [endless] })).rejects.toMatchObject({
      code: 'unverified',
      message: 'the verification took longer than 300 minutes, and was stopped',
    });
  });
});
