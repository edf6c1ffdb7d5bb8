import { Temporal } from 'temporal-polyfill';
import type { RecoveryPoint } from '../../retention/points.ts';
import { type Artifact, artifactOf, type Manifest } from '../core/manifest.ts';
import type { BackupSummary } from './json.ts';

function storedBytes(artifact: Artifact): number {
  return artifact.objects.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** The part of a manifest that people look at in a list. */
export function summarize(manifest: Manifest): BackupSummary {
  const dump = artifactOf(manifest, 'dump');
  return {
    database: manifest.database,
    id: manifest.id,
    snapshotInstant: manifest.snapshotInstant,
    startedAt: manifest.startedAt,
    finishedAt: manifest.finishedAt,
    serverVersion: manifest.server.version,
    databaseBytes: manifest.source.sizeBytes,
    dumpBytes: dump?.plain.bytes ?? 0,
    storedBytes: manifest.artifacts.reduce((sum, artifact) => sum + storedBytes(artifact), 0),
    codec: dump?.codec ?? 'gzip',
    artifacts: manifest.artifacts.map((artifact) => ({
      kind: artifact.kind,
      plainBytes: artifact.plain.bytes,
      storedBytes: storedBytes(artifact),
    })),
    fingerprint: manifest.fingerprint,
    tags: manifest.tags,
    pin: manifest.pin,
    keepUntil: manifest.keepUntil,
    warnings: manifest.warnings,
  };
}

/** What is promised for a backup: what was decided about it since, or what its manifest says where that is not known. */
export function promisesOf(
  manifest: Pick<Manifest, 'pin' | 'keepUntil'>,
  point: Pick<RecoveryPoint, 'pin' | 'keepUntil'> | undefined,
): { readonly pin: { readonly reason: string; readonly until: string | null } | null; readonly keepUntil: string | null } {
  if (point === undefined)
    return { pin: manifest.pin === null ? null : { reason: manifest.pin.reason, until: null }, keepUntil: manifest.keepUntil };
  const text = (instant: number | undefined) =>
    instant === undefined ? null : Temporal.Instant.fromEpochMilliseconds(instant).toString({ smallestUnit: 'second' });
  return {
    pin: point.pin === undefined ? null : { reason: point.pin.reason, until: text(point.pin.until) },
    keepUntil: text(point.keepUntil),
  };
}
