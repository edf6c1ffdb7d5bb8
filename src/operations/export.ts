import { checkObjects, readArtifact } from '../catalog/artifact-reader.ts';
import { authenticate } from '../catalog/authenticate.ts';
import { findBackup } from '../catalog/catalog.ts';
import { backupPrefix } from '../catalog/layout.ts';
import type { Moment } from '../catalog/moment.ts';
import type { Codec } from '../compression/codec.ts';
import type { ByteStream } from '../core/bytes.ts';
import { JetbackupError } from '../core/errors.ts';
import type { DatabaseName } from '../core/ids.ts';
import { type ArtifactKind, artifactOf, type CodecName, type Manifest } from '../core/manifest.ts';
import type { Opener } from '../crypto/sealer.ts';
import type { PublicKey } from '../crypto/signature.ts';
import { type ReadingDeps, whileReading } from './reading.ts';
import { openRepository } from './repository.ts';

export interface ExportDeps extends ReadingDeps {
  readonly opener: Opener;
  readonly codec: (name: CodecName) => Codec;
  readonly publicKeys: readonly PublicKey[];
  /** Name of this host, for whoever prunes meanwhile. */
  readonly host: string;
}

export interface ExportInput {
  readonly database: DatabaseName;
  readonly moment: Moment;
  readonly artifact: ArtifactKind;
  /** Takes the plaintext; must make nothing visible unless the stream ends normally. */
  readonly output: (plain: ByteStream) => Promise<void>;
}

/** Writes one artifact, decrypted and decompressed, for stock tools, while a note keeps the backup from being pruned. Throws like `restore` up to the data. */
export async function exportBackup(deps: ExportDeps, input: ExportInput, signal: AbortSignal): Promise<Manifest> {
  const repository = await openRepository(deps, signal);
  const accept = (candidate: Manifest) => authenticate(candidate, repository.id, deps.publicKeys);
  const manifest = await findBackup(deps.store, input.database, input.moment, accept, signal);
  const artifact = artifactOf(manifest, input.artifact);
  if (artifact === undefined) {
    throw new JetbackupError('usage', `backup ${manifest.id} has no artifact "${input.artifact}"`, {
      hint: `It has: ${manifest.artifacts.map(({ kind }) => kind).join(', ')}.`,
    });
  }
  const folder = backupPrefix(manifest.database, manifest.id);
  const read = { database: manifest.database, id: manifest.id, holder: `export on ${deps.host}` };
  await whileReading(deps, read, signal, async (reading) => {
    await checkObjects(deps.store, folder, artifact, reading);
    const phase = 'export';
    const totalBytes = artifact.plain.bytes;
    deps.log({ type: 'phase', phase, text: `exporting the ${artifact.kind} of ${manifest.id}`, totalBytes });
    const onBytes = (bytes: number) => deps.log({ type: 'bytes', phase, bytes, totalBytes });
    await input.output(readArtifact(deps, { folder, artifact, onBytes }, reading));
  });
  return manifest;
}
