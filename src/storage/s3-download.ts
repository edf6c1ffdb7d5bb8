import { Readable } from 'node:stream';
import { GetObjectCommand, type GetObjectCommandOutput } from '@aws-sdk/client-s3';
import type { ByteStream } from '../core/bytes.ts';
import { JetbackupError } from '../core/errors.ts';
import { checkedRange, type Range } from './key.ts';
import { backoffMs, type S3Connection } from './s3-client.ts';
import { factsOf, S3Failure } from './s3-errors.ts';
import { head } from './s3-object.ts';
import type { GetOptions, Key } from './store.ts';

/** An answer whose body has begun to come. */
interface Opened {
  readonly body: Readable;
  /** Size of the whole object, bytes. */
  readonly size: number;
  readonly etag: string | undefined;
  /** First byte of the object that the body has. */
  readonly offset: number;
}

export async function download(connection: S3Connection, key: Key, { range, signal }: GetOptions): Promise<ByteStream> {
  if (range !== undefined) checkedRange(key, Number.MAX_SAFE_INTEGER, range);
  if (range?.length === 0) return nothing(connection, key, range, signal);
  const first = await openFrom(connection, key, range, undefined, signal);
  try {
    const wanted = checkedRange(key, first.size, range);
    return read(connection, key, wanted, first, signal);
  } catch (error) {
    first.body.destroy();
    throw error;
  }
}

/** No header asks for no bytes. */
async function nothing(connection: S3Connection, key: Key, range: Range, signal: AbortSignal | undefined): Promise<ByteStream> {
  const found = await head(connection, key, { signal });
  if (found === undefined) throw new JetbackupError('storage-not-found', `"${key}" is not in ${connection.location}`);
  checkedRange(key, found.ContentLength ?? 0, range);
  return Readable.from([]);
}

async function openFrom(
  connection: S3Connection,
  key: Key,
  range: Range | undefined,
  etag: string | undefined,
  signal: AbortSignal | undefined,
): Promise<Opened> {
  const { client, bucket } = connection;
  const command = () =>
    new GetObjectCommand({
      Bucket: bucket,
      Key: connection.name(key),
      ...(range !== undefined && { Range: `bytes=${range.offset}-${range.offset + range.length - 1}` }),
      ...(etag !== undefined && { IfMatch: etag }),
    });
  try {
    const answer = await connection.call((send) => client.send(command(), send), { signal });
    return opened(connection, key, answer, range);
  } catch (error) {
    if (!(error instanceof S3Failure)) throw error;
    if (error.facts.status === 412) throw replaced(connection, key, error.cause);
    if (error.facts.status !== 416 || range === undefined) throw error;
    const size = (await head(connection, key, { signal }))?.ContentLength ?? 0;
    checkedRange(key, size, range);
    throw error;
  }
}

function opened({ location }: S3Connection, key: Key, answer: GetObjectCommandOutput, range: Range | undefined): Opened {
  const body = answer.Body;
  if (!(body instanceof Readable)) throw new JetbackupError('storage-failed', `${location} answered without a body for "${key}"`);
  // Without a listener, a connection that breaks before anyone reads would end the process.
  body.on('error', () => {});
  const served = /^bytes (\d+)-\d+\/(\d+)$/.exec(answer.ContentRange ?? '');
  const size = served === null ? answer.ContentLength : Number(served[2]);
  const offset = served === null ? 0 : Number(served[1]);
  if (size === undefined || offset !== (range?.offset ?? 0)) {
    body.destroy();
    const what = size === undefined ? 'without a length' : `from byte ${offset} instead of ${range?.offset ?? 0}`;
    throw new JetbackupError('storage-failed', `${location} sent "${key}" ${what}`, {
      hint: 'This store, or a proxy before it, does not follow HTTP ranges; use its S3 endpoint directly.',
    });
  }
  return { body, size, etag: answer.ETag, offset };
}

function replaced({ location }: S3Connection, key: Key, cause?: unknown): JetbackupError {
  return new JetbackupError(
    'storage-failed',
    `"${key}" in ${location} was replaced while it was read`,
    cause === undefined ? {} : { cause },
  );
}

/** The bytes of `wanted`; goes on by range where a connection breaks, as long as bytes keep coming. */
async function* read(
  connection: S3Connection,
  key: Key,
  wanted: Range,
  first: Opened,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  const { clock, random, settings, location, logger } = connection;
  const { maxAttempts = 8 } = settings;
  const end = wanted.offset + wanted.length;
  let position = wanted.offset;
  let current = first;
  try {
    for (let fruitless = 0; ; ) {
      const before = position;
      const failure = yield* pump(
        current.body,
        () => end - position,
        (bytes) => {
          position += bytes;
        },
      );
      if (signal?.aborted) throw signal.reason;
      if (position > end) throw new JetbackupError('storage-failed', `${location} sent more than the ${wanted.length} bytes of "${key}"`);
      if (position === end) return;

      fruitless = position > before ? 1 : fruitless + 1;
      const cause = failure?.error ?? new Error(`the answer ended at byte ${position} of ${end}`);
      if (fruitless >= maxAttempts) throw new S3Failure({ ...factsOf(cause), name: 'TimeoutError' }, fruitless, false, cause);
      logger?.debug({ key, position, reason: factsOf(cause).name }, 'download broke off; going on from the last byte');
      await clock.sleep(backoffMs(fruitless, random), signal);
      current = await openFrom(connection, key, { offset: position, length: end - position }, first.etag, signal);
      if (current.size !== first.size || current.etag !== first.etag) throw replaced(connection, key);
    }
  } finally {
    current.body.destroy();
  }
}

/** Passes on what the body brings, never more than is left; returns the error that it broke off with, if it did. */
async function* pump(
  body: Readable,
  left: () => number,
  took: (bytes: number) => void,
): AsyncGenerator<Uint8Array, { readonly error: unknown } | undefined> {
  const chunks: AsyncIterator<unknown> = body[Symbol.asyncIterator]();
  for (;;) {
    let step: IteratorResult<unknown>;
    try {
      step = await chunks.next();
    } catch (error) {
      return { error };
    }
    if (step.done === true) return undefined;
    if (!(step.value instanceof Uint8Array)) return { error: new TypeError('the body is no bytes') };
    const room = left();
    took(step.value.byteLength);
    if (room > 0) yield step.value.subarray(0, room);
    if (step.value.byteLength > room) return undefined;
  }
}
