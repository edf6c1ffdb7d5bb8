import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../../src/platform/clock.ts';
import { connect } from '../../../src/storage/s3-client.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'jetbackup-profile-'));
  writeFileSync(
    join(directory, 'credentials'),
    '[default]\naws_access_key_id = DEFAULT\naws_secret_access_key = a\n[deleter]\naws_access_key_id = DELETER\naws_secret_access_key = b\n',
  );
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', join(directory, 'credentials'));
  vi.stubEnv('AWS_CONFIG_FILE', join(directory, 'config'));
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'FROMENVIRONMENT');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'c');
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(directory, { recursive: true, force: true });
});

const credentialsOf = async (profile: string) => {
  const { client } = connect({ bucket: 'b', prefix: '', region: 'eu-central-1', profile }, { clock: systemClock });
  return await client.config.credentials();
};

describe('a store with a profile of its own', () => {
  it('uses that profile’s credentials, whatever the environment says', async () => {
    expect(await credentialsOf('deleter')).toMatchObject({ accessKeyId: 'DELETER' });
  });

  it('uses no others where there is no such profile', async () => {
    await expect(credentialsOf('deltre')).rejects.toThrow(/deltre/);
  });
});
