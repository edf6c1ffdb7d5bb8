import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import type { ByteStream } from '../core/bytes.ts';
import { checkedKey, checkedPrefix } from './key.ts';
import { connect } from './s3-client.ts';
import { download } from './s3-download.ts';
import { isMissing, S3Failure, storageError } from './s3-errors.ts';
import { listObjects, sweepUploads } from './s3-list.ts';
import { head, infoOf, lockOf } from './s3-object.ts';
import { probeFeatures } from './s3-probe.ts';
import { MAX_PARTS, type S3Dependencies, type S3Settings, uploadPlan } from './s3-settings.ts';
import { upload } from './s3-upload.ts';
import type { ObjectStore, StoreFeatures } from './store.ts';

/**
 * A bucket of any S3-compatible store. Every request is tried again with backoff, each part on its own; the whole
 * time is bounded by `maxAttempts` times the timeouts. Only this file lets errors out, as ones of the catalogue.
 */
export function createS3Store(settings: S3Settings, deps: S3Dependencies): ObjectStore {
  const connection = connect(settings, deps);
  const { bucket, client, location } = connection;
  let features: Promise<StoreFeatures> | undefined;

  const translated = (error: unknown, text: string, needs: string): unknown =>
    error instanceof S3Failure ? storageError(error, { text, needs, bucket, location }) : error;
  async function guarded<T>(text: string, needs: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw translated(error, text, needs);
    }
  }
  async function* guardedStream<T>(text: string, needs: string, stream: AsyncIterable<T>): AsyncGenerator<T> {
    try {
      yield* stream;
    } catch (error) {
      throw translated(error, text, needs);
    }
  }

  return {
    location,
    capacity: (sizeHint) => uploadPlan(settings, sizeHint).partBytes * MAX_PARTS,
    async put(key, body, options = {}) {
      checkedKey(key);
      options.signal?.throwIfAborted();
      return guarded(`upload "${key}"`, 's3:PutObject and s3:AbortMultipartUpload', () => upload(connection, key, body, options));
    },
    async get(key, options = {}): Promise<ByteStream> {
      checkedKey(key);
      const stream = await guarded(`download "${key}"`, 's3:GetObject', () => download(connection, key, options));
      return guardedStream(`download "${key}"`, 's3:GetObject', stream);
    },
    async stat(key, signal) {
      checkedKey(key);
      const found = await guarded(`look up "${key}"`, 's3:GetObject and s3:ListBucket', () => head(connection, key, { signal }));
      return found === undefined ? undefined : infoOf(connection, key, found);
    },
    async *list(prefix, signal) {
      yield* guardedStream('list', 's3:ListBucket', listObjects(connection, checkedPrefix(prefix), signal));
    },
    async lockedUntil(key, signal) {
      checkedKey(key);
      return guarded(`ask what locks "${key}"`, 's3:GetObject and s3:GetObjectRetention', () => lockOf(connection, key, { signal }));
    },
    async delete(key, signal) {
      checkedKey(key);
      const command = new DeleteObjectCommand({ Bucket: bucket, Key: connection.name(key) });
      await guarded(`delete "${key}"`, 's3:DeleteObject', async () => {
        await connection
          .call((send) => client.send(command, send), { signal })
          .catch((error: unknown) => {
            if (!(error instanceof S3Failure) || !isMissing(error.facts)) throw error;
          });
      });
    },
    async sweepUnfinished(prefix, before, signal) {
      checkedPrefix(prefix);
      return guarded('remove unfinished uploads', 's3:ListBucketMultipartUploads and s3:AbortMultipartUpload', () =>
        sweepUploads(connection, prefix, before, signal),
      );
    },
    room: async () => undefined,
    probe(signal) {
      features ??= guarded('probe the store', 's3:PutObject, s3:GetObject and s3:DeleteObject', () =>
        probeFeatures(connection, signal),
      ).catch((error: unknown) => {
        features = undefined;
        throw error;
      });
      return features;
    },
    close: () => client.destroy(),
  };
}
