import { describe, expect, it } from 'vitest';
import { compose, configChecks } from '../../src/compose.ts';
import { loadConfig } from '../../src/config/load.ts';
import { silent } from '../../src/core/progress.ts';
import { generateSigningKey } from '../../src/crypto/signature.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createProcessRunner } from '../../src/platform/processes.ts';

const { publicKey, privatePem } = generateSigningKey();

async function composed(env: Record<string, string>) {
  const whole = { JETBACKUP_REPOSITORY: 's3://bucket/prefix?region=eu-central-1', ...env };
  const config = loadConfig({ env: whole, cwd: '/nowhere', search: [], checks: configChecks });
  const platform = { env: whole, cwd: '/nowhere', clock: systemClock, processes: createProcessRunner(), host: 'h', version: '0' };
  return await compose(config, platform);
}

describe('prune', () => {
  it('has a store of its own where it has a profile of its own, and nothing else has that one', async () => {
    const { pruneDeps, markDeps, listDeps, close } = await composed({
      JETBACKUP_SIGNING_KEY: privatePem,
      JETBACKUP_PRUNE_PROFILE: 'deleter',
    });
    const { store } = await pruneDeps(silent);
    expect((await pruneDeps(silent)).store).toBe(store);
    expect(listDeps().store).not.toBe(store);
    expect((await markDeps()).store).toBe(listDeps().store);
    close();
  });

  it('uses the store of all where it has none', async () => {
    const { pruneDeps, listDeps, close } = await composed({ JETBACKUP_SIGNING_PUBLIC_KEY: publicKey });
    expect((await pruneDeps(silent)).store).toBe(listDeps().store);
    close();
  });

  it('does nothing on a host that cannot tell which backups are its own', async () => {
    const { pruneDeps } = await composed({});
    await expect(pruneDeps(silent)).rejects.toMatchObject({ code: 'key-missing' });
  });
});

describe('pin', () => {
  it('wants the key to sign with', async () => {
    const { markDeps } = await composed({ JETBACKUP_SIGNING_PUBLIC_KEY: publicKey });
    await expect(markDeps()).rejects.toMatchObject({
      code: 'key-missing',
      message: expect.stringContaining('what you decide about a backup'),
    });
  });
});
