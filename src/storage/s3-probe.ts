import { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectLockConfigurationCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { PROBE_PREFIX } from './key.ts';
import type { CallOptions, S3Connection } from './s3-client.ts';
import { isAmbiguous, S3Failure } from './s3-errors.ts';
import { integrityHeaders } from './s3-integrity.ts';
import { listObjects } from './s3-list.ts';
import { putWhole } from './s3-put.ts';
import type { StoreFeatures } from './store.ts';

const RACERS = 16;
const RACES = 2;
const UPLOAD_RACERS = 8;
/** Further races in which all bodies are held back. One alone was won by two of sixteen, where up to all win, on a machine that was busy with others. */
const HELD_RACES = 3;
/** From when the last racer has begun to send: twice as long as a race without that took, twice that in the next, ms; bounds of it. */
const MIN_HOLD_MS = 250;
const MAX_HOLD_MS = 5000;
/** Nobody waits longer for the last racer, ms. Stores give up on a body that stands still for 20 s. */
const MAX_GATHER_MS = 5000;
/** Long enough for two clocks that differ by seconds, short enough to wait for where nobody may lift it. */
const LOCK_MS = 20_000;
/** What is older than this was left by a probe that was killed. */
const LEFT_MS = 10 * 60_000;

interface Probe {
  readonly connection: S3Connection;
  readonly folder: string;
  readonly signal: AbortSignal | undefined;
  /** Whether the bucket says that it locks objects. */
  readonly locks: boolean;
}

/** Finds out what the store does. Only a store that cannot be reached, or not be written to, is an error; a call that it does not know is a feature that it lacks. */
export async function probeFeatures(connection: S3Connection, signal: AbortSignal | undefined): Promise<StoreFeatures> {
  const folder = `${PROBE_PREFIX}${Buffer.from(connection.random(8)).toString('hex')}/`;
  const locks = await hasLockConfiguration(connection, signal);
  const probe: Probe = { connection, folder, signal, locks };
  try {
    // The ordinary way first: rights are checked, and it is learned which checksums the store takes.
    await putWhole(connection, `${folder}plain`, Buffer.from('probe'), false, signal);
    const checksums = await refusesWrongChecksum(probe);
    const conditionalPut = (await onePutWins(probe)) && (await oneCompletionWins(probe));
    const objectLock = locks && (await lockHolds(probe));
    const versioning = await keepsVersions(probe);
    return { conditionalPut, objectLock, versioning, checksums };
  } finally {
    await cleanUp(probe);
  }
}

/** Runs a request once, so that its answer is the answer. True: done; false: refused. Throws where there was no answer. */
async function accepted(probe: Probe, run: Parameters<S3Connection['call']>[0]): Promise<boolean> {
  try {
    await probe.connection.call(run, { signal: probe.signal, attempts: 1 });
    return true;
  } catch (error) {
    if (!(error instanceof S3Failure) || isAmbiguous(error.facts)) throw error;
    return false;
  }
}

/** The answer of a call that a store may not know or not allow; undefined then. */
async function ifKnown<T>(
  connection: S3Connection,
  run: Parameters<typeof connection.call<T>>[0],
  signal: AbortSignal | undefined,
): Promise<T | undefined> {
  try {
    return await connection.call(run, { signal });
  } catch (error) {
    if (!(error instanceof S3Failure) || isAmbiguous(error.facts)) throw error;
    return undefined;
  }
}

async function hasLockConfiguration(connection: S3Connection, signal: AbortSignal | undefined): Promise<boolean> {
  const { client, bucket } = connection;
  const answer = await ifKnown(connection, (send) => client.send(new GetObjectLockConfigurationCommand({ Bucket: bucket }), send), signal);
  return answer?.ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled';
}

/** Headers on every object of the probe, which may take longer as a whole: in a bucket that locks by default they keep the lock short. */
function shortLock({ connection, locks }: Probe): Pick<PutObjectCommandInput, 'ObjectLockMode' | 'ObjectLockRetainUntilDate'> {
  if (!locks) return {};
  return { ObjectLockMode: 'GOVERNANCE', ObjectLockRetainUntilDate: new Date(connection.clock.now().epochMilliseconds + LOCK_MS) };
}

function putRequest(probe: Probe, name: string, text: string): PutObjectCommandInput & { Body: Buffer } {
  const { connection, folder } = probe;
  const body = Buffer.from(text);
  return {
    Bucket: connection.bucket,
    Key: connection.name(folder + name),
    Body: body,
    ...integrityHeaders(connection.learned.integrity, body),
    ...shortLock(probe),
  };
}

async function refusesWrongChecksum(probe: Probe): Promise<boolean> {
  const { client, learned } = probe.connection;
  const request = { ...putRequest(probe, 'wrong-checksum', 'probe'), ...integrityHeaders(learned.integrity, Buffer.from('other bytes')) };
  return !(await accepted(probe, (send) => client.send(new PutObjectCommand(request), send)));
}

/**
 * Exactly one of many simultaneous conditional writes succeeds, each time. A store that looks first and writes afterwards is
 * often lucky where it is quick or the machine slow: in the last races every body comes in two halves, and the second is
 * held back until all requests should have been seen. Such a store has then let all of them pass.
 */
async function onePutWins(probe: Probe): Promise<boolean> {
  const { clock } = probe.connection;
  let longestMs = 0;
  for (let round = 1; round <= RACES; round += 1) {
    const begun = clock.monotonicMs();
    if ((await winners(probe, `race-${round}`)) !== 1) return false;
    longestMs = Math.max(longestMs, clock.monotonicMs() - begun);
  }
  for (let round = 1; round <= HELD_RACES; round += 1) {
    const holdMs = Math.max(2 * longestMs, MIN_HOLD_MS) * 2 ** (round - 1);
    if ((await winners(probe, `race-held-${round}`, Math.min(holdMs, MAX_HOLD_MS))) !== 1) return false;
  }
  return true;
}

/** How many of the racers for one name are told that they have it, or may have it. */
async function winners(probe: Probe, name: string, holdMs = 0): Promise<number> {
  const { connection, signal } = probe;
  const gate = holdMs > 0 ? holdGate(probe, holdMs) : undefined;
  const racer = async (number: number): Promise<boolean> => {
    const command = new PutObjectCommand({ ...putRequest(probe, name, `racer ${number}`), IfNoneMatch: '*' });
    if (gate !== undefined) holdBody(command, () => gate.arrive(number));
    try {
      return await accepted(probe, (send) => connection.client.send(command, send));
    } catch (error) {
      // A store may refuse before it has the body, and hang up on the rest.
      if (gate === undefined || signal?.aborted) throw error;
      return true;
    } finally {
      void gate?.arrive(number);
    }
  };
  const outcomes = await settleAll(Array.from({ length: RACERS }, (_, number) => racer(number)));
  return outcomes.filter(Boolean).length;
}

/** Opens `holdMs` after the last racer has begun to send, or has ended before that. */
function holdGate({ connection: { clock }, signal }: Probe, holdMs: number): { arrive(racer: number): Promise<void> } {
  const gathered = new AbortController();
  // An abort ends the requests by itself.
  const sleep = (ms: number, until: readonly AbortSignal[]) =>
    clock.sleep(ms, AbortSignal.any(signal === undefined ? [...until] : [signal, ...until])).catch(() => undefined);
  const opens = sleep(MAX_GATHER_MS, [gathered.signal]).then(() => sleep(holdMs, []));
  const arrived = new Set<number>();
  return {
    async arrive(racer) {
      arrived.add(racer);
      if (arrived.size === RACERS) gathered.abort();
      await opens;
    },
  };
}

/** Behind the signature, which needs the whole body. */
function holdBody(command: PutObjectCommand, arrive: () => Promise<void>): void {
  async function* halves(body: Uint8Array): AsyncGenerator<Uint8Array> {
    yield body.subarray(0, body.length / 2);
    await arrive();
    yield body.subarray(body.length / 2);
  }
  command.middlewareStack.add(
    (next) => (args) => {
      const request = args.request as { body?: unknown };
      if (request.body instanceof Uint8Array) request.body = Readable.from(halves(request.body));
      return next(args);
    },
    { step: 'deserialize', priority: 'low' },
  );
}

/** The same for completions of multipart uploads, where some stores ignore the condition. */
async function oneCompletionWins(probe: Probe): Promise<boolean> {
  const { connection, signal, folder } = probe;
  const { client, bucket } = connection;
  const target = { Bucket: bucket, Key: connection.name(`${folder}upload-race`) };
  const options: CallOptions = { signal };
  const begun: { UploadId: string; ETag: string | undefined }[] = [];
  try {
    for (let number = 0; number < UPLOAD_RACERS; number += 1) {
      const { UploadId = '' } = await connection.call(
        (send) => client.send(new CreateMultipartUploadCommand({ ...target, ...shortLock(probe) }), send),
        options,
      );
      const part = { ...target, UploadId, PartNumber: 1, Body: Buffer.from(`racer ${number}`) };
      begun.push({ UploadId, ETag: (await connection.call((send) => client.send(new UploadPartCommand(part), send), options)).ETag });
    }
    const racers = begun.map(({ UploadId, ETag }) => {
      const completion = {
        ...target,
        UploadId,
        IfNoneMatch: '*',
        MultipartUpload: { Parts: [{ PartNumber: 1, ...(ETag !== undefined && { ETag }) }] },
      };
      return accepted(probe, (send) => client.send(new CompleteMultipartUploadCommand(completion), send));
    });
    const outcomes = await settleAll(racers);
    return outcomes.filter(Boolean).length === 1;
  } finally {
    for (const { UploadId } of begun)
      await ifKnown(connection, (send) => client.send(new AbortMultipartUploadCommand({ ...target, UploadId }), send), undefined);
  }
}

/** All results once all have come, or the first error; never leaves a request behind. */
async function settleAll<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}

/** A lock that was asked for is there, and the version under it cannot be deleted. Some stores ignore the headers in silence. */
async function lockHolds(probe: Probe): Promise<boolean> {
  const { connection, signal } = probe;
  const { client } = connection;
  const request = putRequest(probe, 'lock', 'locked');
  const put = await ifKnown(connection, (send) => client.send(new PutObjectCommand(request), send), signal);
  if (put?.VersionId === undefined) return false;
  const version = { Bucket: connection.bucket, Key: request.Key, VersionId: put.VersionId };
  const found = await ifKnown(connection, (send) => client.send(new HeadObjectCommand(version), send), signal);
  const asked = request.ObjectLockRetainUntilDate;
  const kept = found?.ObjectLockRetainUntilDate;
  // Stores may drop the milliseconds.
  const there =
    asked !== undefined &&
    kept !== undefined &&
    found?.ObjectLockMode === 'GOVERNANCE' &&
    Math.abs(kept.getTime() - asked.getTime()) < 1000;
  return there && !(await accepted(probe, (send) => client.send(new DeleteObjectCommand(version), send)));
}

async function keepsVersions(probe: Probe): Promise<boolean> {
  const { connection, signal } = probe;
  const { client } = connection;
  const request = putRequest(probe, 'version', 'kept');
  await connection.call((send) => client.send(new PutObjectCommand(request), send), { signal });
  await connection.call((send) => client.send(new DeleteObjectCommand({ Bucket: request.Bucket, Key: request.Key }), send), { signal });
  const list = { Bucket: request.Bucket, Prefix: request.Key };
  const versions = await ifKnown(connection, (send) => client.send(new ListObjectVersionsCommand(list), send), signal);
  return versions?.Versions?.some(({ Key, VersionId }) => Key === request.Key && VersionId !== undefined && VersionId !== 'null') ?? false;
}

/** Removes every version of what the probe made, also after an abort; waits for a lock to end where it may not be lifted. */
async function cleanUp(probe: Probe): Promise<void> {
  const { connection, folder, locks } = probe;
  try {
    await removeLeft(probe);
  } catch {
    // The next probe tries again.
  }
  try {
    if (await removeAll(probe)) return;
    if (locks && probe.signal?.aborted !== true) {
      await connection.clock.sleep(LOCK_MS, probe.signal);
      if (await removeAll(probe)) return;
    }
    connection.logger?.warn({ location: connection.location, folder }, 'objects of the probe could not be removed');
  } catch (error) {
    connection.logger?.warn({ location: connection.location, folder, error }, 'objects of the probe could not be removed');
  }
}

/** What probes that were killed left. One that runs beside this takes seconds; all dates are the store's. */
async function removeLeft({ connection, folder, signal }: Probe): Promise<void> {
  const found = await Array.fromAsync(listObjects(connection, PROBE_PREFIX, signal));
  const now = Math.max(...found.filter(({ key }) => key.startsWith(folder)).map(({ modified }) => modified.epochMilliseconds));
  for (const { key, modified } of found) {
    if (key.startsWith(folder) || !(modified.epochMilliseconds < now - LEFT_MS)) continue;
    await connection.client.send(new DeleteObjectCommand({ Bucket: connection.bucket, Key: connection.name(key) }));
  }
}

async function removeAll({ connection, folder, locks }: Probe): Promise<boolean> {
  const { client, bucket } = connection;
  const list = { Bucket: bucket, Prefix: connection.name(folder) };
  const names = [
    'plain',
    'wrong-checksum',
    'version',
    'lock',
    'upload-race',
    ...Array.from({ length: RACES }, (_, round) => `race-${round + 1}`),
    ...Array.from({ length: HELD_RACES }, (_, round) => `race-held-${round + 1}`),
  ];
  const listed = await ifKnown(connection, (send) => client.send(new ListObjectVersionsCommand(list), send), undefined);
  const versions = [...(listed?.Versions ?? []), ...(listed?.DeleteMarkers ?? [])];
  const targets = versions.length > 0 ? versions : names.map((name) => ({ Key: connection.name(folder + name), VersionId: undefined }));
  const bypass = locks ? { BypassGovernanceRetention: true } : {};
  const remove = async (target: { Bucket: string; Key: string | undefined; VersionId?: string }): Promise<boolean> =>
    (await ifKnown(connection, (send) => client.send(new DeleteObjectCommand(target), send), undefined)) !== undefined;
  let removed = true;
  for (const { Key, VersionId } of targets) {
    // `null` is what a bucket without versioning calls the only one: to delete that takes no right over versions.
    const version = VersionId === undefined || VersionId === 'null' ? {} : { VersionId };
    const done = await remove({ Bucket: bucket, Key, ...version, ...bypass });
    // Whoever may not delete versions hides what is left, so that no list shows it.
    if (!done && 'VersionId' in version) await remove({ Bucket: bucket, Key });
    removed &&= done;
  }
  return removed;
}
