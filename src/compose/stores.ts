import { resolve } from 'node:path';
import { type AwsVariable, awsVariables } from '../config/config.ts';
import type { Secret } from '../config/secret.ts';
import type { Clock } from '../platform/clock.ts';
import { openStore } from '../storage/all.ts';
import { parseRepositoryUrl, type RepositoryLocation } from '../storage/location.ts';
import type { ObjectStore } from '../storage/store.ts';

/** A relative directory or certificate in a repository's URL belongs to where the URL stands. */
export function repositoryAt(url: string, base: string): RepositoryLocation {
  const location = parseRepositoryUrl(url);
  if (location.kind === 'filesystem') return { ...location, directory: resolve(base, location.directory) };
  return location.caFile === undefined ? location : { ...location, caFile: resolve(base, location.caFile) };
}

export async function storeAt(
  location: RepositoryLocation,
  clock: Clock,
  aws: (name: AwsVariable) => Secret | undefined,
  profile?: string,
): Promise<ObjectStore> {
  if (profile !== undefined) return openStore(location, { clock, profile });
  const [accessKeyId, secretAccessKey, sessionToken] = awsVariables.map((name) => aws(name)?.reveal());
  // Only a whole pair stands before the AWS chain (profiles, roles, container credentials).
  if (accessKeyId === undefined || secretAccessKey === undefined) return openStore(location, { clock });
  return openStore(location, {
    clock,
    credentials: { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) },
  });
}
