import { ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/platform/clock.ts';
import { createS3Store } from '../../src/storage/s3.ts';
import { startS3Server } from '../support/s3-servers.ts';

describe.each(['first', 'second'] as const)('a bucket made with Object Lock on the %s S3 server', (which) => {
  it('is probed for what it does, and the locked object of the probe goes too', async () => {
    await using server = await startS3Server(which);
    await server.createBucket('locked', { objectLock: true });
    const store = createS3Store(
      { bucket: 'locked', prefix: '', endpoint: server.endpoint, region: server.region, credentials: server.credentials },
      { clock: systemClock },
    );
    expect(await store.probe()).toEqual(server.features.locked);
    const { Versions = [], DeleteMarkers = [] } = await server.client.send(new ListObjectVersionsCommand({ Bucket: 'locked' }));
    expect([...Versions, ...DeleteMarkers].map(({ Key }) => Key)).toEqual([]);
    store.close();
  });
});
