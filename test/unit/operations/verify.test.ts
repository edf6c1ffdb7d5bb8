import { Temporal } from 'temporal-polyfill';
import { describe, expect, it } from 'vitest';
import { JetbackupError } from '../../../src/core/errors.ts';
import { RunRecordSchema } from '../../../src/core/run-record.ts';
import { generateSigningKey, loadSigningKey } from '../../../src/crypto/signature.ts';
import { ProcessFailed } from '../../../src/platform/processes.ts';
import type { RestoreCheck } from '../../../src/verify/check.ts';
import { fakeRestorer, fakeSandboxes } from '../../support/fake-sandbox.ts';
import { createMemoryStore } from '../../support/memory-store.ts';
import { simulatedClock } from '../../support/simulated-time.ts';
import { DATABASE, openSmallInstallation } from '../../support/small-installation.ts';

async function installation() {
  const clock = simulatedClock(Temporal.Instant.from('2026-11-20T02:00:00Z'));
  const store = createMemoryStore({ clock });
  const shop = await openSmallInstallation({ store, clock, rows: () => ['1\tone\n', '2\ttwo\n'], policy: { daily: 7 } });
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

const passing: RestoreCheck = { id: 'fingerprint', run: async () => ({ status: 'pass', message: 'all 2 rows are there' }) };
const failing: RestoreCheck = {
  id: 'inventory',
  run: async () => ({ status: 'fail', message: '1 object is missing', hint: 'Look.', findings: ['index public.secret_index is missing'] }),
};

/** A restore that ends as pg_restore did. */
function failingRestore(stderr: string, end: { readonly exitCode?: number | null; readonly killedBy?: NodeJS.Signals } = {}) {
  const command = { program: '/usr/bin/pg_restore', args: [], env: {} };
  const cause = new ProcessFailed(command, end.exitCode === undefined ? 1 : end.exitCode, end.killedBy ?? null, stderr);
  return fakeRestorer({
    restoreArchive: async () => {
      throw new JetbackupError('restore-failed', `restoring data failed: ${stderr}`, { cause });
    },
  });
}
const SERVER_ERROR =
  'pg_restore: error: could not execute query: ERROR:  relation "t" does not exist\nCommand was: ALTER TABLE t OWNER TO app;\n';

describe('verifying a backup', () => {
  it('proves it, says so in the run record, and lets retention know', async () => {
    const { shop, records, pass, store } = await installation();
    const { id } = await shop.backup();
    pass(1);
    const result = await shop.verify(id, { checks: [passing] });
    expect(result.outcome).toBe('proven');
    expect(result.checks.map((check) => [check.id, check.status])).toEqual([
      ['authentic', 'pass'],
      ['objects', 'pass'],
      ['roles', 'pass'],
      ['archive', 'pass'],
      ['restore', 'pass'],
      ['fingerprint', 'pass'],
    ]);
    expect(records()).toMatchObject([
      { result: 'succeeded', backup: id, rpoSeconds: 3600, verification: { outcome: 'proven', attached: true, worstGapSeconds: 3600 } },
    ]);
    expect(store.objects.has(`${DATABASE}/${id}/proof.json`)).toBe(true);
    expect((await shop.survey()).points).toMatchObject([{ id, proof: 'proven' }]);
  });

  it('finds it failed when a check fails, and keeps the names of objects out of what is stored', async () => {
    const { shop, records, store } = await installation();
    const { id } = await shop.backup();
    const result = await shop.verify(id, { checks: [failing, passing] });
    expect(result.outcome).toBe('failed');
    // The others are looked at all the same.
    expect(result.checks.at(-1)).toMatchObject({ id: 'fingerprint', status: 'pass' });
    expect(records()).toMatchObject([{ result: 'failed', error: { code: 'check-failed', message: 'failed: inventory' } }]);
    expect((await shop.survey()).points).toMatchObject([{ proof: 'failed' }]);
    for (const bytes of store.objects.values()) expect(Buffer.from(bytes).includes('secret_index')).toBe(false);
  });

  it('lets the newest verification stand, whichever way it goes', async () => {
    const { shop } = await installation();
    const { id } = await shop.backup();
    await shop.verify(id, { checks: [failing] });
    await shop.verify(id, { checks: [passing] });
    expect((await shop.survey()).points).toMatchObject([{ proof: 'proven' }]);
    await shop.verify(id, { checks: [failing] });
    expect((await shop.survey()).points).toMatchObject([{ proof: 'failed' }]);
  });

  it('has the phases add up to the RTO', async () => {
    const { shop, pass, records } = await installation();
    const { id } = await shop.backup();
    const slow: RestoreCheck = {
      id: 'amcheck',
      run: async () => {
        pass(2);
        return { status: 'pass', message: '' };
      },
    };
    const restorer = fakeRestorer({ analyzeDatabase: async () => pass(1) });
    await shop.verify(id, { checks: [passing, slow], restorer });
    const [record] = records();
    const sum = (record?.phases ?? []).filter(({ phase }) => !phase.endsWith('data')).reduce((total, { ms }) => total + ms, 0);
    expect(record?.rtoSeconds).toBe(3 * 3600);
    expect(sum).toBe(3 * 3600 * 1000);
  });
});

describe('a backup that is damaged', () => {
  it('fails wherever a bit is flipped: a thousand places in all that belongs to it', async () => {
    const { shop, store } = await installation();
    const { id } = await shop.backup();
    const keys = [...store.objects.keys()].filter((key) => key.startsWith(`${DATABASE}/${id}/`));
    expect(keys).toHaveLength(3);
    let seed = 42;
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return seed % below;
    };
    const caught = new Map<string, number>();
    for (let n = 0; n < 1_000; n += 1) {
      const key = keys[n % keys.length] ?? '';
      const whole = store.objects.get(key) ?? new Uint8Array();
      const flipped = Uint8Array.from(whole);
      const at = random(whole.byteLength);
      flipped[at] = (flipped[at] ?? 0) ^ (1 << random(8));
      store.objects.set(key, flipped);
      const { outcome, checks } = await shop.verify(id);
      const by = checks.filter(({ status }) => status === 'fail').map((check) => check.id);
      // A line break or a space that stays one changes nothing that the manifest says.
      if (outcome === 'proven') expect(JSON.parse(Buffer.from(flipped).toString())).toEqual(JSON.parse(Buffer.from(whole).toString()));
      else for (const one of by) caught.set(one, (caught.get(one) ?? 0) + 1);
      store.objects.set(key, whole);
      // Or each verification would read the records of all before it.
      for (const record of store.objects.keys()) if (record.startsWith('runs/')) store.objects.delete(record);
    }
    expect([...caught.keys()].sort()).toEqual(['archive', 'authentic', 'objects']);
    expect([...caught.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThan(990);
  }, 60_000);

  it('fails when an object is cut off or missing, before there is a sandbox', async () => {
    const { shop, store } = await installation();
    const { id } = await shop.backup();
    const key = `${DATABASE}/${id}/dump.pgc.gz.age`;
    const whole = store.objects.get(key) ?? new Uint8Array();
    for (const damaged of [whole.subarray(0, -1), undefined]) {
      if (damaged === undefined) store.objects.delete(key);
      else store.objects.set(key, damaged);
      const sandboxes = fakeSandboxes();
      const { outcome, checks } = await shop.verify(id, { sandboxes });
      expect(outcome).toBe('failed');
      expect(checks.at(-1)).toMatchObject({ id: 'objects', status: 'fail' });
      expect(sandboxes.started).toEqual([]);
    }
  });

  it('fails when its manifest is that of another backup, and gets no proof', async () => {
    const { shop, store, pass } = await installation();
    const { id } = await shop.backup();
    pass(24);
    const { id: other } = await shop.backup();
    store.objects.set(`${DATABASE}/${id}/manifest.json`, store.objects.get(`${DATABASE}/${other}/manifest.json`) ?? new Uint8Array());
    const { outcome, checks } = await shop.verify(id);
    expect(outcome).toBe('failed');
    expect(checks).toMatchObject([{ id: 'authentic', status: 'fail', message: expect.stringContaining('another backup') }]);
    expect(store.objects.has(`${DATABASE}/${id}/proof.json`)).toBe(false);
  });

  it('fails when pg_restore complains', async () => {
    const { shop } = await installation();
    const { id } = await shop.backup();
    const restorer = failingRestore(SERVER_ERROR);
    const { outcome, checks } = await shop.verify(id, { restorer });
    expect(outcome).toBe('failed');
    expect(checks.at(-1)).toMatchObject({ id: 'restore', status: 'fail', message: 'pg_restore failed' });
    expect(checks.at(-1)?.findings[0]).toContain('relation "t" does not exist');
  });

  it('fails when the globals lack a role that the database needs, and goes on looking', async () => {
    const { shop } = await installation();
    const { id } = await shop.backup();
    const without = await fakeRestorer().inspectTarget(undefined as never);
    const restorer = fakeRestorer({ inspectTarget: async () => ({ ...without, roles: new Set() }) });
    const { outcome, checks } = await shop.verify(id, { restorer, checks: [passing] });
    expect(outcome).toBe('failed');
    expect(checks.find((check) => check.id === 'roles')).toMatchObject({ status: 'fail' });
    expect(checks.at(-1)).toMatchObject({ id: 'fingerprint', status: 'pass' });
  });

  it.each([
    ['fails when a statement of the globals fails', false, 'failed', 'fail'],
    ['tells of a setting of a role that the sandbox cannot know, and blames nobody', true, 'proven', 'pass'],
  ] as const)('%s', async (_, isOfTheServer, expected, status) => {
    const { shop } = await installation();
    const { id } = await shop.backup();
    const failures = [{ statement: 'ALTER ROLE app SET lc_monetary', message: 'invalid value', isOfTheServer }];
    const restorer = fakeRestorer({ loadGlobals: async () => ({ roles: 2, leftOut: 0, failures }) });
    const { outcome, checks } = await shop.verify(id, { restorer, checks: [passing] });
    expect(outcome).toBe(expected);
    const findings = ['ALTER ROLE app SET lc_monetary: invalid value'];
    expect(checks.find((check) => check.id === 'roles')).toMatchObject({ status, findings });
  });
});

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
    const error = await shop.verify(id, change).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code, exitCode: 32 });
    expect((error as JetbackupError).hint).toBeDefined();
    expect(records()).toMatchObject([{ result: 'failed', error: { code }, verification: { outcome: null, attached: false } }]);
    expect(store.objects.has(`${DATABASE}/${id}/proof.json`)).toBe(false);
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
    for (const bytes of store.objects.values())
      expect(Buffer.from(bytes).includes('cards') || Buffer.from(bytes).includes('4111')).toBe(false);
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

describe('the proof of a verification', () => {
  it('is not made by a key that nobody here trusts: it would take the place of one that is', async () => {
    const { shop } = await installation();
    const { id } = await shop.backup();
    await shop.verify(id);
    const stranger = loadSigningKey(generateSigningKey().privatePem, 'the test');
    const { run } = await shop.verify(id, { signingKey: stranger });
    expect(run.verification?.attached).toBe(false);
    expect((await shop.survey()).points).toMatchObject([{ proof: 'proven' }]);
    expect(shop.warnings.some((text) => text.includes('nobody would believe it'))).toBe(true);
  });

  it('that cannot be stored takes nothing from what was found', async () => {
    const { shop, store } = await installation();
    const { id } = await shop.backup();
    const put = store.put.bind(store);
    const readOnly = {
      ...store,
      put: (key: string, ...rest: [never]) =>
        key.endsWith('proof.json') ? Promise.reject(new JetbackupError('storage-denied', 'denied')) : put(key, ...rest),
    };
    const { outcome, run } = await shop.verify(id, { store: readOnly, checks: [failing] });
    expect(outcome).toBe('failed');
    expect(run).toMatchObject({ result: 'failed', verification: { outcome: 'failed', attached: false } });
  });

  it('is not made where there is no signing key, and the backup stays unproven', async () => {
    const { shop, store } = await installation();
    const { id } = await shop.backup();
    const { outcome, run } = await shop.verify(id, { signingKey: undefined });
    expect(outcome).toBe('proven');
    expect(run.verification?.attached).toBe(false);
    expect(store.objects.has(`${DATABASE}/${id}/proof.json`)).toBe(false);
    expect((await shop.survey()).points).toMatchObject([{ proof: 'unproven' }]);
  });

  it('proves nothing once a bit of it is changed, or where it was copied to', async () => {
    const { shop, store, pass } = await installation();
    const { id } = await shop.backup();
    await shop.verify(id);
    pass(24);
    const { id: other } = await shop.backup();
    const key = `${DATABASE}/${id}/proof.json`;
    const proof = store.objects.get(key) ?? new Uint8Array();
    store.objects.set(`${DATABASE}/${other}/proof.json`, proof);
    expect((await shop.survey()).points.map((point) => point.proof)).toEqual(['proven', 'unproven']);
    store.objects.set(key, Buffer.from(Buffer.from(proof).toString().replace('"by": "test@test"', '"by": "someone"')));
    expect((await shop.survey()).points.map((point) => point.proof)).toEqual(['unproven', 'unproven']);
  });

  it('is taken back where a prune deleted the backup meanwhile', async () => {
    const { shop, store } = await installation();
    const { id } = await shop.backup();
    const gone: RestoreCheck = {
      id: 'fingerprint',
      run: async () => {
        store.objects.delete(`${DATABASE}/${id}/manifest.json`);
        return { status: 'pass', message: '' };
      },
    };
    const { run } = await shop.verify(id, { checks: [gone] });
    expect(run.verification?.attached).toBe(false);
    expect(store.objects.has(`${DATABASE}/${id}/proof.json`)).toBe(false);
  });
});

describe('the sandbox', () => {
  it('is gone after success, failure and interruption, and what cannot be removed is told', async () => {
    const { shop } = await installation();
    const { id } = await shop.backup();
    const sandboxes = fakeSandboxes({ leaves: 'the volume v is still there' });
    await shop.verify(id, { sandboxes });
    await shop.verify(id, { sandboxes, checks: [failing] });
    const interrupted: RestoreCheck = {
      id: 'fingerprint',
      run: async () => {
        throw new JetbackupError('interrupted', 'interrupted');
      },
    };
    await expect(shop.verify(id, { sandboxes, checks: [interrupted] })).rejects.toMatchObject({ code: 'interrupted' });
    expect(sandboxes.started).toEqual([{ gone: true }, { gone: true }, { gone: true }]);
    expect(shop.warnings.filter((text) => text.includes('the volume v is still there'))).toHaveLength(3);
  });
});
