import type { Codec } from '../compression/codec.ts';
import { type ByteStream, meter, segmentMeter } from '../core/bytes.ts';
import { type Artifact, type ArtifactKind, SEGMENT_BYTES } from '../core/manifest.ts';
import type { Sealer } from '../crypto/sealer.ts';
import type { ObjectStore } from '../storage/store.ts';
import { objectName } from './layout.ts';

export interface ArtifactWriting {
  readonly kind: ArtifactKind;
  /** The backup's folder, with its trailing slash. */
  readonly folder: string;
  /** Starts the producer. The signal stops it when storing fails, so that a quiet pg_dump is not waited for. */
  readonly open: (signal: AbortSignal) => ByteStream;
  /** Guess of the sealed size in bytes; decides part sizes, never correctness. */
  readonly sizeHint?: number;
  /** Called with the plaintext bytes so far. */
  readonly onBytes?: (plainBytes: number) => void;
}

/**
 * plain -> hash -> compress -> hash -> encrypt -> hash, whole and by segment -> store, in one pass and bounded memory.
 * A stream that outgrows what one object may hold goes on in further objects. Objects that were stored before an
 * error stay: they belong to no manifest, and the caller removes them.
 */
export async function writeArtifact(
  deps: { readonly store: ObjectStore; readonly sealer: Sealer; readonly codec: Codec },
  writing: ArtifactWriting,
  signal: AbortSignal,
): Promise<Artifact> {
  const { store, sealer, codec } = deps;
  const plain = meter(writing.onBytes);
  const compressed = meter();
  const sealed = segmentMeter(SEGMENT_BYTES);
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const stream = sealed.through(sealer.seal(compressed.through(codec.compress(plain.through(writing.open(either))))));

  const source = stream[Symbol.asyncIterator]();
  const objects: Artifact['objects'] = [];
  const hint = writing.sizeHint === undefined ? {} : { sizeHint: writing.sizeHint };
  try {
    let pending: Uint8Array | undefined;
    let ended = false;
    // The body of one object: up to `room` bytes. What is left of the last chunk waits for the next object.
    async function* upTo(room: number): AsyncGenerator<Uint8Array, void, undefined> {
      for (let left = room; left > 0; ) {
        if (pending === undefined) {
          const step = await source.next();
          if (step.done === true) {
            ended = true;
            return;
          }
          pending = step.value;
        }
        const head = pending.subarray(0, left);
        pending = head.byteLength < pending.byteLength ? pending.subarray(left) : undefined;
        left -= head.byteLength;
        yield head;
      }
      // Look ahead, so that a stream that ends exactly here leaves no empty object behind it.
      if (pending === undefined) {
        const step = await source.next();
        if (step.done === true) ended = true;
        else pending = step.value;
      }
    }
    const room = store.capacity(writing.sizeHint);
    while (!ended) {
      const name = objectName(writing.kind, codec.extension, objects.length);
      const info = await store.put(`${writing.folder}${name}`, upTo(room), { ...hint, signal: either });
      objects.push({ name, bytes: info.size });
    }
  } catch (error) {
    stop.abort(error);
    throw error;
  } finally {
    await source.return?.();
  }
  return {
    kind: writing.kind,
    codec: codec.name,
    objects,
    plain: plain.measure(),
    compressed: compressed.measure(),
    sealed: sealed.measure(),
    recipients: [...sealer.recipients],
    segmentBytes: SEGMENT_BYTES,
    segments: [...sealed.segments()],
  };
}
