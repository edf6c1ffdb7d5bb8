import { describe, expect, it } from 'vitest';
import { JetbackupError } from '../../../src/core/errors.ts';
import { generateSigningKey, loadSigningKey } from '../../../src/crypto/signature.ts';
import type { RestoreCheck } from '../../../src/verify/check.ts';
import { DATABASE } from '../../support/small-installation.ts';
import { failing, installation, passing } from './verifying.ts';

describe('the proof of a verification', () => {
  it('lets the newest verification stand, whichever way it goes', async () => {
    const { shop } = await installation();
    const { id } = await shop.backup();
    await shop.verify(id, { checks: [failing] });
    await shop.verify(id, { checks: [passing] });
    expect((await shop.survey()).points).toMatchObject([{ proof: 'proven' }]);
    await shop.verify(id, { checks: [failing] });
    expect((await shop.survey()).points).toMatchObject([{ proof: 'failed' }]);
  });

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
