import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import type { ByteStream } from '../core/bytes.ts';
import { JetbackupError } from '../core/errors.ts';
import { type BodyReader, readBody } from './body.ts';
import { type PartFiller, partFiller } from './part-filler.ts';
import type { CallOptions, S3Connection } from './s3-client.ts';
import { isMissing, S3Failure } from './s3-errors.ts';
import { callWithIntegrity, type Integrity, integrityHeaders } from './s3-integrity.ts';
import { newPutId, objectHeaders, putWhole, refuseTaken, settleFailure, withCondition, written } from './s3-put.ts';
import { MAX_PARTS, type UploadPlan, uploadPlan } from './s3-settings.ts';
import type { Key, ObjectInfo, PutOptions } from './store.ts';

const ABORT_TIMEOUT_MS = 10_000;

/** An upload that has been begun, and what is needed to end it. */
interface Upload {
  readonly target: { readonly Bucket: string; readonly Key: string; readonly UploadId: string };
  /** What its parts were announced with. */
  readonly integrity: Integrity;
}

interface Sent {
  readonly parts: CompletedPart[];
  readonly bytes: number;
}

/** A put of any length: one request for what fits into a part, else a multipart upload that is completed last or aborted. */
export async function upload(connection: S3Connection, key: Key, body: ByteStream, options: PutOptions): Promise<ObjectInfo> {
  const { ifAbsent = false, signal, sizeHint } = options;
  const plan = uploadPlan(connection.settings, sizeHint);
  const reader = readBody(body, signal);
  try {
    if (ifAbsent) await refuseTaken(connection, key, signal);
    const filler = partFiller(reader, plan.partBytes);
    const first = await filler.next();
    if (await filler.ended()) return await putWhole(connection, key, first, ifAbsent, signal);
    return await uploadParts(connection, key, { plan, reader, filler, first, ifAbsent, signal });
  } finally {
    await reader.release();
  }
}

interface Job {
  readonly plan: UploadPlan;
  readonly reader: BodyReader;
  readonly filler: PartFiller;
  readonly first: Uint8Array<ArrayBuffer>;
  readonly ifAbsent: boolean;
  readonly signal: AbortSignal | undefined;
}

async function uploadParts(connection: S3Connection, key: Key, job: Job): Promise<ObjectInfo> {
  const { ifAbsent, signal } = job;
  const putId = newPutId(connection);
  const begun = await begin(connection, key, putId, signal);
  let sent: Sent;
  try {
    sent = await sendParts(connection, key, begun, job);
    signal?.throwIfAborted();
    // All that keeps two writers apart on a store without conditions; not atomic, which `probe` finds out.
    if (ifAbsent && !connection.learned.conditions) await refuseTaken(connection, key, signal);
    await complete(connection, begun, sent, ifAbsent, signal);
  } catch (error) {
    if (error instanceof S3Failure) {
      const settled = await settleFailure(connection, key, putId, error, ifAbsent, signal).catch((reason: unknown) => ({ reason }));
      if (!('reason' in settled)) return settled;
      await abandon(connection, key, begun);
      throw settled.reason;
    }
    await abandon(connection, key, begun);
    throw error;
  }
  return written(connection, key, putId, sent.bytes, signal);
}

async function begin(connection: S3Connection, key: Key, putId: string, signal: AbortSignal | undefined): Promise<Upload> {
  const { client, bucket, settings } = connection;
  const target = { Bucket: bucket, Key: connection.name(key) };
  let integrity: Integrity = connection.learned.integrity;
  const answer = await callWithIntegrity(
    connection,
    (kind, send) => {
      integrity = kind;
      const announced = kind === 'crc32' ? { ChecksumAlgorithm: 'CRC32' as const } : {};
      return client.send(new CreateMultipartUploadCommand({ ...target, ...objectHeaders(settings, putId), ...announced }), send);
    },
    { signal },
  );
  if (answer.UploadId === undefined) throw new JetbackupError('storage-failed', `${connection.location} began an upload without an id`);
  return { target: { ...target, UploadId: answer.UploadId }, integrity };
}

/** Sends the parts, a few at a time, while the next one is filled. Returns or throws only once no request is on its way. */
async function sendParts(connection: S3Connection, key: Key, begun: Upload, { plan, reader, filler, first, signal }: Job): Promise<Sent> {
  const stop = new AbortController();
  const stopped = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const inFlight = new Set<Promise<void>>();
  const parts: CompletedPart[] = [];
  let bytes = 0;
  let failure: { readonly error: unknown } | undefined;

  const launch = (number: number, part: Uint8Array<ArrayBuffer>) => {
    const sending = sendPart(connection, begun, number, part, stopped)
      .then(
        (done) => {
          parts[number - 1] = done;
          filler.recycle(part);
        },
        (error: unknown) => {
          failure ??= { error };
          reader.interrupt(error);
          stop.abort(error);
        },
      )
      .finally(() => inFlight.delete(sending));
    inFlight.add(sending);
  };

  try {
    let part = first;
    for (let number = 1; part.byteLength > 0; number += 1) {
      if (number > MAX_PARTS) {
        throw new JetbackupError(
          'storage-failed',
          `"${key}" is longer than the ${plan.partBytes * MAX_PARTS} bytes that its size hint allows`,
        );
      }
      bytes += part.byteLength;
      launch(number, part);
      part = await filler.next();
      while (inFlight.size >= plan.inFlight && failure === undefined) await Promise.race(inFlight);
      if (failure !== undefined) throw failure.error;
    }
    await Promise.all(inFlight);
    if (failure !== undefined) throw failure.error;
    return { parts, bytes };
  } catch (error) {
    stop.abort(error);
    await Promise.all(inFlight);
    throw signal?.aborted ? signal.reason : (failure?.error ?? error);
  }
}

async function sendPart(
  connection: S3Connection,
  { target, integrity }: Upload,
  number: number,
  part: Uint8Array<ArrayBuffer>,
  signal: AbortSignal,
): Promise<CompletedPart> {
  const { client } = connection;
  const request = { ...target, PartNumber: number, Body: part, ContentLength: part.byteLength };
  const options: CallOptions = { signal, bodyBytes: part.byteLength };
  let sum: string | undefined;
  const send = (kind: Integrity, sending: Parameters<typeof client.send>[1] & object) => {
    const headers = integrityHeaders(kind, part);
    sum = headers.ChecksumCRC32;
    return client.send(new UploadPartCommand({ ...request, ...headers }), sending);
  };
  const answer =
    integrity === 'md5'
      ? await connection.call((sending) => send('md5', sending), options)
      : await callWithIntegrity(connection, (kind, sending) => send(kind, sending), options);
  if (answer.ETag === undefined) throw new JetbackupError('storage-failed', `${connection.location} took part ${number} without an ETag`);
  return { PartNumber: number, ETag: answer.ETag, ...(sum !== undefined && { ChecksumCRC32: sum }) };
}

async function complete(
  connection: S3Connection,
  begun: Upload,
  sent: Sent,
  ifAbsent: boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { client } = connection;
  await withCondition(connection, ifAbsent, (condition) =>
    connection.call(
      (send) =>
        client.send(new CompleteMultipartUploadCommand({ ...begun.target, MultipartUpload: { Parts: sent.parts }, ...condition }), send),
      { signal },
    ),
  );
}

/** Removes an unfinished upload; S3Failure when that cannot be done. Not bound to a put's signal: an abort must not leave parts behind. */
export async function abortUpload({ client, clock, call }: S3Connection, target: Upload['target']): Promise<void> {
  const abort = () =>
    call((send) => client.send(new AbortMultipartUploadCommand(target), { ...send, requestTimeout: ABORT_TIMEOUT_MS }), { attempts: 3 });
  try {
    await abort();
    // A part that was cut off may still be on its way inside the store and outlive the first abort.
    await clock.sleep(50);
    await abort();
  } catch (error) {
    if (!(error instanceof S3Failure) || !isMissing(error.facts)) throw error;
  }
}

/** Gives an upload up after a failure, which is what the caller wants to hear of: what cannot be removed now, a later sweep finds. */
async function abandon(connection: S3Connection, key: Key, { target }: Upload): Promise<void> {
  try {
    await abortUpload(connection, target);
  } catch (error) {
    connection.logger?.warn({ location: connection.location, key, error }, 'an unfinished upload could not be removed; a later run will');
  }
}
