import { authenticate } from '../catalog/authenticate.ts';
import { findBackup } from '../catalog/catalog.ts';
import { manifestKey, markKey } from '../catalog/layout.ts';
import { readMark, type Trust, writeAcceptance, writeMark } from '../catalog/marks.ts';
import type { Moment } from '../catalog/moment.ts';
import { isJetbackupError, JetbackupError } from '../core/errors.ts';
import type { DatabaseName, Id } from '../core/ids.ts';
import type { Manifest } from '../core/manifest.ts';
import type { Acceptance, Mark } from '../core/mark.ts';
import { type SigningKey, signDocument } from '../crypto/signature.ts';
import type { Instant } from '../platform/clock.ts';
import { openRepository } from './repository.ts';
import type { RetentionDeps } from './retention.ts';

export interface MarkDeps extends RetentionDeps {
  readonly signingKey: SigningKey;
}

export interface MarkInput {
  readonly database: DatabaseName;
  readonly moment: Moment;
  /** `pin: null` unpins. What is left out stays as it is; `keepUntil: null` takes the promise back. */
  readonly change: {
    readonly pin?: { readonly reason: string; readonly until?: Instant } | null;
    readonly keepUntil?: Instant | null;
  };
}

/**
 * Pins or unpins a backup, whatever its manifest says. The same again changes nothing. Throws `no-backup`, `damaged`, `not-authentic`,
 * and what the store throws.
 */
export async function markBackup(deps: MarkDeps, input: MarkInput, signal: AbortSignal): Promise<{ manifest: Manifest; mark: Mark }> {
  const { store, clock } = deps;
  const { manifest, trust } = await find(deps, input, signal);
  const before = await markOf(deps, trust, manifest.id, input.database, signal);
  const { pin, keepUntil } = input.change;
  const inherited = before?.pin ?? (before === undefined && manifest.pin !== null ? { reason: manifest.pin.reason, until: null } : null);
  const mark = signDocument(
    {
      format: 1 as const,
      kind: 'mark' as const,
      repository: trust.repository,
      database: input.database,
      backup: manifest.id,
      madeAt: clock.now().toString({ smallestUnit: 'millisecond' }),
      pin: pin === undefined ? inherited : pin && { reason: pin.reason, until: pin.until?.toString({ smallestUnit: 'second' }) ?? null },
      keepUntil:
        keepUntil === undefined
          ? before === undefined
            ? manifest.keepUntil
            : before.keepUntil
          : (keepUntil?.toString({ smallestUnit: 'second' }) ?? null),
    },
    deps.signingKey,
  );
  await writeMark(store, mark, signal);
  // A prune may have been deleting it at this moment: then there is nothing any more that this could keep.
  if ((await store.stat(manifestKey(input.database, manifest.id), signal)) !== undefined) return { manifest, mark };
  await store.delete(markKey(input.database, manifest.id), signal);
  throw new JetbackupError('no-backup', `backup ${manifest.id} of "${input.database}" was deleted in the meantime`, {
    hint: 'A prune was under way. See what there is: jetbackup list',
  });
}

/**
 * Says of a backup whose size or row count collapsed that it is right, so that deletion is no longer frozen because of it
 * or of any before it. Throws as `markBackup`.
 */
export async function acceptBackup(
  deps: MarkDeps,
  input: { readonly database: DatabaseName; readonly id: Id; readonly reason: string },
  signal: AbortSignal,
): Promise<Acceptance> {
  const { trust } = await find(deps, { database: input.database, moment: { kind: 'id', id: input.id } }, signal);
  const acceptance = signDocument(
    {
      format: 1 as const,
      kind: 'acceptance' as const,
      repository: trust.repository,
      database: input.database,
      backup: input.id,
      madeAt: deps.clock.now().toString({ smallestUnit: 'millisecond' }),
      reason: input.reason,
    },
    deps.signingKey,
  );
  await writeAcceptance(deps.store, acceptance, signal);
  return acceptance;
}

async function find(
  deps: MarkDeps,
  { database, moment }: Pick<MarkInput, 'database' | 'moment'>,
  signal: AbortSignal,
): Promise<{ manifest: Manifest; trust: Trust }> {
  const { id: repository } = await openRepository(deps, signal);
  const accept = (candidate: Manifest) => authenticate(candidate, repository, deps.publicKeys);
  return { manifest: await findBackup(deps.store, database, moment, accept, signal), trust: { repository, publicKeys: deps.publicKeys } };
}

/** One that cannot be trusted is written anew. */
async function markOf(deps: MarkDeps, trust: Trust, id: Id, database: DatabaseName, signal: AbortSignal): Promise<Mark | undefined> {
  try {
    return await readMark(deps.store, { database, id }, trust, signal);
  } catch (error) {
    if (isJetbackupError(error, 'damaged', 'not-authentic')) return undefined;
    throw error;
  }
}
