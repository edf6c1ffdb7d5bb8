import { CreateMultipartUploadCommand, ListMultipartUploadsCommand, UploadPartCommand } from '@aws-sdk/client-s3';
import { MiB } from '../../src/core/bytes.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { createS3Store } from '../../src/storage/s3.ts';
import { startS3Server } from '../support/s3-servers.ts';
import type { Subject } from './subject.ts';

/** A bucket of a real server, with a prefix, and objects of others beside it. */
export async function s3Subject(which: 'first' | 'second', bucketKind: 'plain' | 'locked'): Promise<Subject> {
  const server = await startS3Server(which);
  const bucket = `contract-${bucketKind}`;
  await server.createBucket(bucket, { objectLock: bucketKind === 'locked' });
  const prefix = 'backups/of one host';
  const store = createS3Store(
    { bucket, prefix, endpoint: server.endpoint, region: server.region, credentials: server.credentials, partBytes: 5 * MiB },
    { clock: systemClock },
  );
  return {
    store,
    partBytes: 5 * MiB,
    async unfinished() {
      const { Uploads = [] } = await server.client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
      return Uploads.map(({ Key = '' }) => Key);
    },
    async leaveUnfinished(key) {
      const target = { Bucket: bucket, Key: `${prefix}/${key}` };
      const { UploadId } = await server.client.send(new CreateMultipartUploadCommand(target));
      await server.client.send(new UploadPartCommand({ ...target, UploadId, PartNumber: 1, Body: 'half' }));
    },
    features: server.features[bucketKind],
    stop: () => server.stop(),
  };
}
