import { PutObjectCommand, type PutObjectCommandInput } from '@aws-sdk/client-s3';
import { JetbackupError } from '../core/errors.ts';
import { backoffMs, type CallOptions, type S3Connection } from './s3-client.ts';
import { isUnsupported, S3Failure } from './s3-errors.ts';
import { callWithIntegrity, integrityHeaders } from './s3-integrity.ts';
import { head, infoOf, madeBy, PUT_ID } from './s3-object.ts';
import type { S3Settings } from './s3-settings.ts';
import type { Key, ObjectInfo } from './store.ts';

const LOOKS = 4;

/** The headers by which a new object is encrypted, classed and recognised. */
export function objectHeaders(
  { sse, storageClass }: S3Settings,
  putId: string,
): Partial<PutObjectCommandInput> & { Metadata: Record<string, string> } {
  return {
    Metadata: { [PUT_ID]: putId },
    ...(sse?.type === 's3' && { ServerSideEncryption: 'AES256' as const }),
    ...(sse?.type === 'kms' && { ServerSideEncryption: 'aws:kms' as const }),
    ...(sse?.type === 'kms' && sse.keyId !== undefined && { SSEKMSKeyId: sse.keyId }),
    // Passed through as written: stores have classes of their own.
    ...(storageClass !== undefined && { StorageClass: storageClass as NonNullable<PutObjectCommandInput['StorageClass']> }),
  };
}

export function newPutId({ random }: S3Connection): string {
  return Buffer.from(random(12)).toString('hex');
}

export function taken({ location }: S3Connection, key: Key, cause?: unknown): JetbackupError {
  return new JetbackupError('storage-exists', `"${key}" is already in ${location}`, cause === undefined ? {} : { cause });
}

/** Spares an upload that must fail, and is all that there is on stores that ignore conditions. Credentials that may only write learn nothing here. */
export async function refuseTaken(connection: S3Connection, key: Key, signal: AbortSignal | undefined): Promise<void> {
  try {
    if ((await head(connection, key, { signal })) !== undefined) throw taken(connection, key);
  } catch (error) {
    if (!(error instanceof S3Failure) || error.facts.status !== 403) throw error;
  }
}

function isConflict({ facts }: S3Failure): boolean {
  return facts.status === 412 || facts.name === 'PreconditionFailed' || facts.name === 'ConditionalRequestConflict' || facts.status === 409;
}

/**
 * Makes sense of a write that ended in a failure: it may have been carried out by an attempt whose answer was lost
 * (then it counts), or lost against another writer (`storage-exists`). Otherwise the failure itself is thrown.
 */
export async function settleFailure(
  connection: S3Connection,
  key: Key,
  putId: string,
  failure: S3Failure,
  ifAbsent: boolean,
  signal: AbortSignal | undefined,
): Promise<ObjectInfo> {
  const lostToAnother = ifAbsent && isConflict(failure);
  if (!failure.maybeDone && !lostToAnother && failure.facts.name !== 'NoSuchUpload') throw failure;
  const options: CallOptions = lostToAnother ? { signal } : { signal, attempts: 2 };
  let there: boolean;
  try {
    const own = await madeBy(connection, key, putId, options);
    if (own !== undefined) return own;
    there = lostToAnother && (await head(connection, key, options)) !== undefined;
  } catch (error) {
    if (!(error instanceof S3Failure)) throw error;
    // Nothing more can be learned. 412 says by itself that somebody was there.
    there = failure.facts.status === 412;
  }
  if (there) throw taken(connection, key, failure.cause);
  throw failure;
}

/** One request with `If-None-Match: *` where the store knows it; a store that says that it does not is remembered. */
export async function withCondition<T>(
  connection: S3Connection,
  ifAbsent: boolean,
  run: (condition: { IfNoneMatch?: '*' }) => Promise<T>,
): Promise<T> {
  const { learned, logger, location } = connection;
  if (!ifAbsent || !learned.conditions) return run({});
  try {
    return await run({ IfNoneMatch: '*' });
  } catch (error) {
    if (!(error instanceof S3Failure) || !isUnsupported(error.facts)) throw error;
    const result = await run({});
    learned.conditions = false;
    logger?.warn({ location, reason: error.facts.name }, 'this store refuses conditional writes; using a look-up before each instead');
    return result;
  }
}

/** A body that fits into one request. */
export async function putWhole(
  connection: S3Connection,
  key: Key,
  bytes: Uint8Array,
  ifAbsent: boolean,
  signal: AbortSignal | undefined,
): Promise<ObjectInfo> {
  const { client, bucket, settings } = connection;
  const putId = newPutId(connection);
  try {
    await withCondition(connection, ifAbsent, (condition) =>
      callWithIntegrity(
        connection,
        (kind, send) =>
          client.send(
            new PutObjectCommand({
              Bucket: bucket,
              Key: connection.name(key),
              Body: bytes,
              ContentLength: bytes.byteLength,
              ...objectHeaders(settings, putId),
              ...integrityHeaders(kind, bytes),
              ...condition,
            }),
            send,
          ),
        { signal, bodyBytes: bytes.byteLength },
      ),
    );
  } catch (error) {
    if (!(error instanceof S3Failure)) throw error;
    return settleFailure(connection, key, putId, error, ifAbsent, signal);
  }
  return written(connection, key, putId, bytes.byteLength, signal);
}

/**
 * The store's own word about an object just written: its clock, and its size, which must be ours. `storage-failed` when
 * a store has said yes and has nothing (looked for a few times: Swift may take a moment to show what it has).
 */
export async function written(
  connection: S3Connection,
  key: Key,
  putId: string,
  size: number,
  signal: AbortSignal | undefined,
): Promise<ObjectInfo> {
  const { clock, location, random } = connection;
  const unseen = { key, size, modified: clock.now() };
  try {
    for (let look = 1; look <= LOOKS; look += 1) {
      const found = await head(connection, key, { signal, attempts: 2 });
      if (found !== undefined) {
        // Another writer has been quick to replace it.
        if (found.Metadata?.[PUT_ID] !== putId) return unseen;
        if (found.ContentLength === size) return infoOf(connection, key, found);
        throw new JetbackupError('storage-failed', `"${key}" in ${location} has ${found.ContentLength} bytes, and ${size} were written`);
      }
      await clock.sleep(backoffMs(look, random), signal);
    }
  } catch (error) {
    if (!(error instanceof S3Failure)) throw error;
    // It has been stored; credentials that may only write cannot look.
    return unseen;
  }
  throw new JetbackupError('storage-failed', `${location} said that it has "${key}", and does not have it`, {
    hint: 'Do not trust this store with backups before its operator has explained this.',
  });
}
