import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import * as z from 'zod';
import { compose, configChecks } from '../../src/compose/compose.ts';
import { loadConfig } from '../../src/config/load.ts';
import { silent } from '../../src/core/progress.ts';
import { generateSigningKey } from '../../src/crypto/signature.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createProcessRunner } from '../../src/platform/processes.ts';
import { createServiceRunner } from '../../src/platform/services.ts';

const { publicKey, privatePem } = generateSigningKey();

async function composed(env: Record<string, string>) {
  const whole = { JETBACKUP_REPOSITORY: 's3://bucket/prefix?region=eu-central-1', ...env };
  const config = loadConfig({ env: whole, cwd: '/nowhere', search: [], checks: configChecks });
  const platform = {
    ...{ env: whole, cwd: '/nowhere', clock: systemClock, host: 'h', user: 'u', version: '0' },
    ...{ processes: createProcessRunner(), services: createServiceRunner() },
  };
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

  it('signs its requests with the keys of that profile, whatever keys the environment has', async () => {
    const seen: string[] = [];
    const server = createServer((request, response) => {
      seen.push(/Credential=([^/]*)/.exec(request.headers.authorization ?? '')?.[1] ?? '');
      response.writeHead(403, { 'content-type': 'application/xml' }).end('<Error><Code>AccessDenied</Code></Error>');
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const directory = mkdtempSync(join(tmpdir(), 'jetbackup-compose-'));
    try {
      writeFileSync(join(directory, 'credentials'), '[deleter]\naws_access_key_id = DELETER\naws_secret_access_key = b\n');
      vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', join(directory, 'credentials'));
      vi.stubEnv('AWS_CONFIG_FILE', join(directory, 'none'));
      const { port } = z.object({ port: z.int() }).parse(server.address());
      const { pruneDeps, listDeps, close } = await composed({
        JETBACKUP_REPOSITORY: `s3://bucket/prefix?endpoint=http://127.0.0.1:${port}`,
        JETBACKUP_SIGNING_PUBLIC_KEY: publicKey,
        JETBACKUP_PRUNE_PROFILE: 'deleter',
        AWS_ACCESS_KEY_ID: 'BACKUP',
        AWS_SECRET_ACCESS_KEY: 'a',
      });
      await expect((await pruneDeps(silent)).store.delete('shop/x')).rejects.toMatchObject({ code: 'storage-denied' });
      await expect(listDeps().store.delete('shop/x')).rejects.toMatchObject({ code: 'storage-denied' });
      expect(seen).toEqual(['DELETER', 'BACKUP']);
      close();
    } finally {
      vi.unstubAllEnvs();
      server.close();
      rmSync(directory, { recursive: true });
    }
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
