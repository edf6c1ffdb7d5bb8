import { readArtifact } from '../catalog/artifact-reader.ts';
import { backupPrefix } from '../catalog/layout.ts';
import type { Codec } from '../compression/codec.ts';
import { type ByteStream, collect, MiB } from '../core/bytes.ts';
import { JetbackupError, NewerFormat } from '../core/errors.ts';
import { type Fingerprint, FingerprintSchema } from '../core/fingerprint.ts';
import { type Artifact, artifactOf, type CodecName, type Manifest } from '../core/manifest.ts';
import type { Opener } from '../crypto/sealer.ts';
import type { ProcessRunner } from '../platform/processes.ts';
import type { ConnectionSettings } from '../postgres/connection.ts';
import { type RestoreChoices, type RestorePhase, restoreArchive } from '../postgres/restore.ts';
import type { ClientTools } from '../postgres/tools-choice.ts';
import type { Run, RunDeps } from './run.ts';

/** What it takes to open what a backup holds, and to load it. */
export interface StoredBackupDeps extends RunDeps {
  readonly processes: ProcessRunner;
  readonly opener: Opener;
  readonly codec: (name: CodecName) => Codec;
  /** What children may see of the environment: PATH, HOME, LANG. */
  readonly env: Readonly<Record<string, string>>;
}

export interface Loading {
  /** Of an empty database. */
  readonly settings: ConnectionSettings;
  readonly folder: string;
  readonly dump: Artifact;
  readonly tools: ClientTools;
  readonly choices: RestoreChoices;
  readonly jobs: number;
  /** Only these; all where both are empty. */
  readonly tables?: readonly string[];
  readonly schemas?: readonly string[];
  /** Seen by a verification, which tells what the stream fails of from what the database fails of. */
  readonly through?: (archive: ByteStream) => ByteStream;
}

const texts: Readonly<Record<RestorePhase, string>> = {
  'pre-data': 'creating tables',
  data: 'loading rows',
  'post-data': 'building indexes and constraints',
};

/** Loads a backup's dump, as the phases `pre-data`, `data` and `post-data` of the run. Throws what `restoreArchive` and `readArtifact` throw. */
export async function loadDump(
  deps: StoredBackupDeps & { readonly restoreArchive?: typeof restoreArchive },
  run: Run,
  loading: Loading,
  signal: AbortSignal,
): Promise<void> {
  const { settings, folder, dump, tools, choices, jobs, tables = [], schemas = [], through = (archive) => archive } = loading;
  deps.log({ type: 'phase', phase: 'pre-data', text: texts['pre-data'] });
  const archive = readArtifact(
    deps,
    { folder, artifact: dump, onBytes: (bytes) => deps.log({ type: 'bytes', phase: 'data', bytes, totalBytes: dump.plain.bytes }) },
    signal,
  );
  const load = deps.restoreArchive ?? restoreArchive;
  await load(
    deps,
    {
      ...{ settings, tools, jobs, archive: through(archive), baseEnv: deps.env },
      ...choices,
      ...(tables.length > 0 ? { tables } : {}),
      ...(schemas.length > 0 ? { schemas } : {}),
      onPhase(phase, ms) {
        const bytes = phase === 'data' ? { bytes: dump.plain.bytes } : {};
        run.add({ phase, ms, ...bytes });
        deps.log({ type: 'done', phase, ms, ...bytes });
        if (phase === 'pre-data') deps.log({ type: 'phase', phase: 'data', text: texts.data, totalBytes: dump.plain.bytes });
        if (phase === 'data') deps.log({ type: 'phase', phase: 'post-data', text: texts['post-data'] });
      },
    },
    signal,
  );
}

/** A fingerprint of 10,000 tables has a few MiB. */
const FINGERPRINT_MAX_BYTES = 512 * MiB;

/** What the backup's database held; undefined, and a warning, where the backup has no fingerprint. Throws what `readArtifact` throws. */
export async function readFingerprint(
  deps: Pick<StoredBackupDeps, 'store' | 'opener' | 'codec' | 'log'>,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<Fingerprint | undefined> {
  const artifact = artifactOf(manifest, 'fingerprint');
  if (artifact === undefined) {
    deps.log({ type: 'warning', text: 'the backup has no fingerprint: the restored database is not compared with anything' });
    return undefined;
  }
  const folder = backupPrefix(manifest.database, manifest.id);
  const bytes = await collect(readArtifact(deps, { folder, artifact }, signal), FINGERPRINT_MAX_BYTES);
  const json: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
  const parsed = FingerprintSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const version = typeof json === 'object' && json !== null && 'version' in json ? json.version : undefined;
  if (typeof version !== 'number' || version <= 1) throw parsed.error;
  throw new JetbackupError('damaged', `the fingerprint is of version ${version}, this jetbackup reads version 1`, {
    cause: new NewerFormat(),
    hint: 'Use a newer jetbackup.',
  });
}
