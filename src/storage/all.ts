import { createFilesystemStore } from './filesystem.ts';
import type { RepositoryLocation, S3Location } from './location.ts';
import type { S3Credentials, S3Dependencies, S3Settings } from './s3-settings.ts';
import type { ObjectStore } from './store.ts';

export interface StoreDependencies extends S3Dependencies {
  /** Credentials from the configuration; without them the AWS default chain. */
  readonly credentials?: S3Credentials;
  /** AWS profile to use instead of both. Nothing to a directory. */
  readonly profile?: string;
  /** Timeouts and attempts, where the defaults do not fit. */
  readonly s3?: Pick<S3Settings, 'requestTimeoutMs' | 'connectTimeoutMs' | 'stallTimeoutMs' | 'maxAttempts' | 'partBytes'>;
}

/**
 * The store at a location: one line per backend. Nothing is contacted before the first call. A backend is loaded when it is
 * asked for: the AWS SDK takes 0.2 s and 70 MiB, which a directory need not pay. `config-invalid` when a certificate file cannot be read.
 */
export async function openStore(location: RepositoryLocation, deps: StoreDependencies): Promise<ObjectStore> {
  switch (location.kind) {
    case 'filesystem':
      return createFilesystemStore({ directory: location.directory });
    case 's3':
      return (await import('./s3.ts')).createS3Store(s3Settings(location, deps), deps);
  }
}

function s3Settings(location: S3Location, { credentials, profile, s3 }: StoreDependencies): S3Settings {
  const { bucket, prefix, region, endpoint, pathStyle, sse, kmsKeyId, storageClass, caFile } = location;
  return {
    bucket,
    prefix,
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint }),
    ...(pathStyle !== undefined && { forcePathStyle: pathStyle }),
    ...(sse === 'AES256' && { sse: { type: 's3' as const } }),
    ...(sse === 'aws:kms' && { sse: { type: 'kms' as const, ...(kmsKeyId !== undefined && { keyId: kmsKeyId }) } }),
    ...(storageClass !== undefined && { storageClass }),
    ...(caFile !== undefined && { caFile }),
    ...(credentials !== undefined && { credentials }),
    ...(profile !== undefined && { profile }),
    ...s3,
  };
}
