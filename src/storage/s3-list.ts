import {
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandInput,
  type ListMultipartUploadsCommandOutput,
  ListObjectsV2Command,
} from '@aws-sdk/client-s3';
import { Temporal } from 'temporal-polyfill';
import { JetbackupError } from '../core/errors.ts';
import { isKey } from './key.ts';
import type { S3Connection } from './s3-client.ts';
import { instantOf } from './s3-object.ts';
import { abortUpload } from './s3-upload.ts';
import type { Key, ObjectInfo } from './store.ts';

/** Keys of the repository out of names of the bucket; undefined for what others put there. */
function keyOf(connection: S3Connection, name: string | undefined): Key | undefined {
  const root = connection.name('');
  if (name?.startsWith(root) !== true) return undefined;
  const key = name.slice(root.length);
  return isKey(key) ? key : undefined;
}

export async function* listObjects(connection: S3Connection, prefix: string, signal: AbortSignal | undefined): AsyncGenerator<ObjectInfo> {
  const { client, bucket, clock, location, learned } = connection;
  let token: string | undefined;
  let last = '';
  do {
    const request = { Bucket: bucket, Prefix: connection.name(prefix), ...(token !== undefined && { ContinuationToken: token }) };
    const page = await connection.call((send) => client.send(new ListObjectsV2Command(request), send), { signal });
    learned.bucketSeen = true;
    for (const { Key: name = '', Size: size = 0, LastModified } of page.Contents ?? []) {
      // Also what a store does that repeats a page for ever.
      if (name <= last) {
        throw new JetbackupError('storage-failed', `${location} lists "${name}" after "${last}": not in ascending order of key`, {
          hint: 'Directory buckets (S3 Express One Zone) do so; use a general purpose bucket.',
        });
      }
      last = name;
      const key = keyOf(connection, name);
      if (key?.startsWith(prefix)) yield { key, size, modified: instantOf(LastModified) ?? clock.now() };
      signal?.throwIfAborted();
    }
    token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
    if (page.IsTruncated === true && token === undefined) {
      throw new JetbackupError('storage-failed', `${location} says that its list goes on, but not where`);
    }
  } while (token !== undefined);
}

/** Aborts the uploads below `prefix` that were begun before `before`; gives back their keys. */
export async function sweepUploads(
  connection: S3Connection,
  prefix: string,
  before: Temporal.Instant,
  signal: AbortSignal | undefined,
): Promise<Key[]> {
  const { client, bucket } = connection;
  const swept: Key[] = [];
  for (let marker: Marker | undefined = {}; marker !== undefined; ) {
    const request: ListMultipartUploadsCommandInput = { Bucket: bucket, Prefix: connection.name(prefix), ...marker };
    const page = await connection.call((send) => client.send(new ListMultipartUploadsCommand(request), send), { signal });
    for (const { Key: name, UploadId, Initiated } of page.Uploads ?? []) {
      signal?.throwIfAborted();
      const key = keyOf(connection, name);
      const begun = instantOf(Initiated);
      if (name === undefined || !key?.startsWith(prefix) || UploadId === undefined || begun === undefined) continue;
      if (Temporal.Instant.compare(begun, before) >= 0) continue;
      await abortUpload(connection, { Bucket: bucket, Key: name, UploadId });
      swept.push(key);
    }
    marker = nextMarker(page, marker);
  }
  return swept;
}

type Marker = Pick<ListMultipartUploadsCommandInput, 'KeyMarker' | 'UploadIdMarker'>;

/** Where the next page begins; undefined after the last, and where a store does not move on. */
function nextMarker(page: ListMultipartUploadsCommandOutput, marker: Marker): Marker | undefined {
  const { IsTruncated, NextKeyMarker, NextUploadIdMarker } = page;
  if (IsTruncated !== true || NextKeyMarker === undefined) return undefined;
  if (NextKeyMarker === marker.KeyMarker && NextUploadIdMarker === marker.UploadIdMarker) return undefined;
  return { KeyMarker: NextKeyMarker, ...(NextUploadIdMarker !== undefined && { UploadIdMarker: NextUploadIdMarker }) };
}
