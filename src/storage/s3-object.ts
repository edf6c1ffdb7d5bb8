import { HeadBucketCommand, HeadObjectCommand, type HeadObjectCommandOutput } from '@aws-sdk/client-s3';
import { Temporal } from 'temporal-polyfill';
import type { CallOptions, S3Connection } from './s3-client.ts';
import { isMissing, S3Failure } from './s3-errors.ts';
import type { Lock, ObjectInfo } from './store.ts';

/** User metadata that says which put made an object: how an answer that was lost is made up for. */
export const PUT_ID = 'jetbackup-put';

export function instantOf(date: Date | undefined): Temporal.Instant | undefined {
  return date === undefined ? undefined : Temporal.Instant.fromEpochMilliseconds(date.getTime());
}

/** What the store says about an object; undefined when it is not there. A missing bucket is an error, not an absence. */
export async function head(connection: S3Connection, key: string, options: CallOptions = {}): Promise<HeadObjectCommandOutput | undefined> {
  const { client, bucket, learned } = connection;
  try {
    const found = await connection.call(
      (send) => client.send(new HeadObjectCommand({ Bucket: bucket, Key: connection.name(key) }), send),
      options,
    );
    learned.bucketSeen = true;
    return found;
  } catch (error) {
    if (!(error instanceof S3Failure) || !isMissing(error.facts)) throw error;
  }
  // The answer to HEAD has no body, so a missing bucket looks like a missing object.
  if (!learned.bucketSeen) await requireBucket(connection, options);
  return undefined;
}

async function requireBucket({ call, client, bucket, learned }: S3Connection, options: CallOptions): Promise<void> {
  try {
    await call((send) => client.send(new HeadBucketCommand({ Bucket: bucket }), send), options);
  } catch (error) {
    if (!(error instanceof S3Failure)) throw error;
    const { facts } = error;
    if (facts.status === 404)
      throw new S3Failure({ ...facts, name: 'NoSuchBucket', message: 'no such bucket' }, error.attempts, false, error.cause);
    // Credentials that may not ask about the bucket: it exists.
    if (facts.status !== 403) throw error;
  }
  learned.bucketSeen = true;
}

export function infoOf(
  connection: S3Connection,
  key: string,
  found: { ContentLength?: number | undefined; LastModified?: Date | undefined },
): ObjectInfo {
  return { key, size: found.ContentLength ?? 0, modified: instantOf(found.LastModified) ?? connection.clock.now() };
}

/** What locks the current version. The store leaves the headers out for credentials without s3:GetObjectRetention and s3:GetObjectLegalHold. */
export async function lockOf(connection: S3Connection, key: string, options: CallOptions): Promise<Lock | undefined> {
  try {
    const found = await head(connection, key, options);
    return found?.ObjectLockLegalHoldStatus === 'ON' ? 'legal-hold' : instantOf(found?.ObjectLockRetainUntilDate);
  } catch (error) {
    if (error instanceof S3Failure && error.facts.status === 403) return undefined;
    throw error;
  }
}

/** The object as the put with this id left it; undefined when it is not there or another put made it. */
export async function madeBy(connection: S3Connection, key: string, putId: string, options: CallOptions): Promise<ObjectInfo | undefined> {
  const found = await head(connection, key, options);
  return found?.Metadata?.[PUT_ID] === putId ? infoOf(connection, key, found) : undefined;
}
