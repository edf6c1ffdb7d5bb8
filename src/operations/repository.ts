import { randomUUID } from 'node:crypto';
import * as z from 'zod';
import { RECOVERY_KEY, REPOSITORY_KEY } from '../catalog/layout.ts';
import { bytesOf, collect } from '../core/bytes.ts';
import { isJetbackupError, JetbackupError } from '../core/errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { ObjectStore } from '../storage/store.ts';

const RepositorySchema = z.strictObject({ format: z.literal(1), id: z.uuid(), createdAt: z.iso.datetime() });
export type Repository = z.infer<typeof RepositorySchema>;

/**
 * Makes a repository: RECOVERY.md, and last jetbackup.json, which says that there is one. Throws `repository-exists`
 * where there is one already (its backups are not touched).
 */
export async function initRepository(
  deps: { readonly store: ObjectStore; readonly clock: Clock },
  input: { readonly recoveryText: string },
  signal: AbortSignal,
): Promise<Repository> {
  const { store, clock } = deps;
  const exists = new JetbackupError('repository-exists', `${store.location} already holds a repository`, {
    hint: 'Use it as it is (its backups stay readable with their own keys), or choose another prefix or directory.',
  });
  if ((await store.stat(REPOSITORY_KEY, signal)) !== undefined) throw exists;
  const repository: Repository = { format: 1, id: randomUUID(), createdAt: clock.now().toString({ smallestUnit: 'second' }) };
  await store.put(RECOVERY_KEY, bytesOf(input.recoveryText), { signal });
  try {
    await store.put(REPOSITORY_KEY, bytesOf(`${JSON.stringify(repository, null, 1)}\n`), { ifAbsent: true, signal });
  } catch (cause) {
    if (isJetbackupError(cause, 'storage-exists')) throw exists;
    throw cause;
  }
  return repository;
}

/** Throws `repository-missing`, `damaged`, and what the store throws. */
export async function openRepository(deps: { readonly store: ObjectStore }, signal: AbortSignal): Promise<Repository> {
  const { store } = deps;
  let bytes: Uint8Array;
  try {
    bytes = await collect(await store.get(REPOSITORY_KEY, { signal }), 64 * 1024);
  } catch (cause) {
    if (isJetbackupError(cause, 'storage-not-found')) {
      throw new JetbackupError('repository-missing', `${store.location} holds no repository`, {
        cause,
        hint: 'Check the URL and its prefix; a new repository is made by: jetbackup init',
      });
    }
    throw cause;
  }
  try {
    return RepositorySchema.parse(JSON.parse(Buffer.from(bytes).toString('utf8')));
  } catch (cause) {
    throw new JetbackupError('damaged', `${REPOSITORY_KEY} in ${store.location} is not readable as one of format 1`, {
      cause,
      hint: 'It holds only {"format":1,"id":"<uuid>","createdAt":"<instant>"}; the id stands in every manifest, so it can be written again.',
    });
  }
}
