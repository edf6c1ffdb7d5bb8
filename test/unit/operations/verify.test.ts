import { describe, expect, it } from 'vitest';
import { JetbackupError } from '../../../src/core/errors.ts';
import type { RestoreCheck } from '../../../src/verify/check.ts';
import { fakeRestorer, fakeSandboxes } from '../../support/fake-sandbox.ts';
import { DATABASE } from '../../support/small-installation.ts';
import { failing, failingRestore, installation, passing, SERVER_ERROR } from './verifying.ts';

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
