import type { Codec } from '../compression/codec.ts';
import { type ByteStream, meter, sha256Hex } from '../core/bytes.ts';
import { isJetbackupError, JetbackupError } from '../core/errors.ts';
import type { Artifact, CodecName } from '../core/manifest.ts';
import type { Opener } from '../crypto/sealer.ts';
import type { ObjectStore } from '../storage/store.ts';

/** Segments fetched at once: enough to hide a store's latency, 16 MiB of memory at format v1's segment size. */
const SEGMENTS_IN_FLIGHT = 2;

interface Piece {
  readonly key: string;
  readonly offset: number;
  readonly length: number;
}

/** Which bytes of which objects make up the sealed stream's range. */
function piecesOf(artifact: Artifact, folder: string, offset: number, length: number): Piece[] {
  const pieces: Piece[] = [];
  let start = 0;
  for (const object of artifact.objects) {
    const from = Math.max(offset, start);
    const to = Math.min(offset + length, start + object.bytes);
    if (from < to) pieces.push({ key: `${folder}${object.name}`, offset: from - start, length: to - from });
    start += object.bytes;
  }
  return pieces;
}

/**
 * Finds out, before anything is changed anywhere, that every object of the artifact is there in its full length.
 * Throws `damaged`.
 */
export async function checkObjects(store: ObjectStore, folder: string, artifact: Artifact, signal?: AbortSignal): Promise<void> {
  const total = artifact.objects.reduce((sum, object) => sum + object.bytes, 0);
  if (total !== artifact.sealed.bytes || artifact.segments.length !== Math.ceil(total / artifact.segmentBytes)) {
    throw new JetbackupError('damaged', `the manifest of ${folder} contradicts itself about the ${artifact.kind}`, { hint: otherBackup });
  }
  for (const object of artifact.objects) {
    const info = await store.stat(`${folder}${object.name}`, signal);
    if (info === undefined) throw new JetbackupError('damaged', `${folder}${object.name} is missing`, { hint: otherBackup });
    if (info.size !== object.bytes) {
      throw new JetbackupError('damaged', `${folder}${object.name} has ${info.size} bytes, its manifest says ${object.bytes}`, {
        hint: otherBackup,
      });
    }
  }
}

const otherBackup =
  'Use another backup: jetbackup list. If the store keeps versions, an earlier version of the object may be whole. A prune leaves alone what is being read; where this host could leave no note of that (it warns), pin what you restore from: jetbackup pin ID --reason "restore".';

/**
 * The sealed bytes, each segment released only once its SHA-256 equals the (signed) manifest's. Several segments are
 * read at once by range. A segment that does not match is read a second time, since a broken transfer is likelier than
 * a broken object; then `damaged` says where. A segment is valid until the next is asked for.
 */
export async function* readSealed(store: ObjectStore, folder: string, artifact: Artifact, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  // Filled as it comes, and again and again: chunks that are gathered and then joined are twice the memory, and a fresh buffer for
  // each segment stays until the garbage collector finds the time.
  const idle: Uint8Array[] = [];
  const fetchOnce = async (segment: Uint8Array, offset: number, length: number): Promise<Uint8Array> => {
    let filled = 0;
    for (const { key, ...range } of piecesOf(artifact, folder, offset, length)) {
      for await (const chunk of await store.get(key, { range, signal: either })) {
        if (filled + chunk.byteLength > length) throw new RangeError(`more than ${length} bytes`);
        segment.set(chunk, filled);
        filled += chunk.byteLength;
      }
    }
    return segment.subarray(0, filled);
  };
  const fetch = async (index: number): Promise<Uint8Array> => {
    const offset = index * artifact.segmentBytes;
    const length = Math.min(artifact.segmentBytes, artifact.sealed.bytes - offset);
    const segment = idle.pop() ?? Buffer.allocUnsafeSlow(Math.min(artifact.segmentBytes, artifact.sealed.bytes));
    let failure: unknown;
    for (let attempt = 0; attempt < 2; attempt += 1) {
      try {
        const bytes = await fetchOnce(segment, offset, length);
        if (bytes.byteLength === length && sha256Hex(bytes) === artifact.segments[index]) return bytes;
        failure = undefined;
      } catch (error) {
        either.throwIfAborted();
        // Only what is not there, or is longer than it should be, is damage; a store that fails says so itself.
        if (!isJetbackupError(error, 'storage-not-found') && !(error instanceof RangeError)) throw error;
        failure = error;
      }
    }
    const [first] = piecesOf(artifact, folder, offset, length);
    throw new JetbackupError(
      'damaged',
      `${first?.key ?? folder} is damaged between byte ${first?.offset ?? 0} and ${(first?.offset ?? 0) + length} (segment ${index + 1} of ${artifact.segments.length})`,
      { hint: otherBackup, cause: failure },
    );
  };
  const inFlight: Promise<Uint8Array>[] = [];
  try {
    for (let next = 0; next < artifact.segments.length || inFlight.length > 0; ) {
      while (inFlight.length < SEGMENTS_IN_FLIGHT && next < artifact.segments.length) {
        const segment = fetch(next);
        // Awaited in order below; a later one that fails first must not count as unhandled meanwhile.
        segment.catch(() => {});
        inFlight.push(segment);
        next += 1;
      }
      const segment = await inFlight.shift();
      if (segment === undefined) continue;
      yield segment;
      idle.push(Buffer.from(segment.buffer));
    }
  } finally {
    stop.abort(new Error('the reader has stopped'));
    await Promise.allSettled(inFlight);
  }
}

/**
 * The artifact's plaintext: segments checked against the manifest, then decrypted, then decompressed, then the whole
 * compared with the manifest's size and hash. It ends normally only if all of that held. The manifest must have been
 * authenticated before. Throws `damaged`, `key-wrong`, and what the store throws.
 */
export async function* readArtifact(
  deps: { readonly store: ObjectStore; readonly opener: Opener; readonly codec: (name: CodecName) => Codec },
  reading: { readonly folder: string; readonly artifact: Artifact; readonly onBytes?: (plainBytes: number) => void },
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const { artifact, folder } = reading;
  const plain = meter(reading.onBytes);
  const sealed: ByteStream = readSealed(deps.store, folder, artifact, signal);
  yield* plain.through(deps.codec(artifact.codec).decompress(deps.opener.open(sealed)));
  const measured = plain.measure();
  if (measured.bytes !== artifact.plain.bytes || measured.sha256 !== artifact.plain.sha256) {
    throw new JetbackupError('damaged', `the ${artifact.kind} of ${folder} does not decrypt to what was backed up`, {
      hint: `Size ${measured.bytes} against ${artifact.plain.bytes} bytes. ${otherBackup}`,
    });
  }
}
