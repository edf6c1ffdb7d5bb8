import { manifestKey, proofKey } from '../catalog/layout.ts';
import { manifestDigest, writeProof } from '../catalog/proofs.ts';
import { isJetbackupError, JetbackupError, messageOf } from '../core/errors.ts';
import type { Manifest } from '../core/manifest.ts';
import type { Proof } from '../core/proof.ts';
import type { RunRecord } from '../core/run-record.ts';
import { signDocument } from '../crypto/signature.ts';
import { recoveryFigures } from './recovery-gap.ts';
import { CLEANUP_MS, type Run } from './run.ts';
import type { VerifyDeps, VerifyInput } from './verify-deps.ts';
import { type Found, recordOf, recordOfCheck } from './verify-record.ts';

export interface Concluded {
  readonly run: Run;
  readonly found: Found;
}

/** Signs the result and puts it beside the backup. Returns whether it lies there. */
export async function attach(
  deps: VerifyDeps,
  { run, found, repository, outcome }: Concluded & { readonly repository: string; readonly outcome: 'proven' | 'failed' },
  signal: AbortSignal,
): Promise<boolean> {
  const { manifest, sandbox, checks, rtoSeconds } = found;
  // What is not authentic is nobody's backup: there is nothing to attach a proof to.
  if (manifest === undefined) return false;
  if (deps.signingKey === undefined) {
    deps.log({
      type: 'warning',
      text: 'there is no signing key here: the result stands in the run record only, and the backup does not count as proven',
      hint: 'Give this host a signing key of its own (signing.keyFile), and add its public key to signing.publicKey wherever backups are listed or pruned.',
    });
    return false;
  }
  const own = deps.signingKey.publicKey;
  if (!deps.publicKeys.some(({ keyId }) => keyId === own.keyId)) {
    deps.log({
      type: 'warning',
      text: `the signing key of this host (${own.keyId}) is not among those that are trusted, so the result is not put beside the backup: nobody would believe it, and it would take the place of one that is believed`,
      hint: `Add it to signing.publicKey here, and wherever backups are listed or pruned: ${own.text}`,
    });
    return false;
  }
  const proof = signDocument(
    {
      ...{ format: 1 as const, kind: 'proof' as const, repository, database: manifest.database, backup: manifest.id },
      manifestSha256: manifestDigest(manifest),
      run: run.id,
      startedAt: run.startedAt.toString({ smallestUnit: 'millisecond' }),
      madeAt: deps.clock.now().toString({ smallestUnit: 'millisecond' }),
      by: deps.by,
      jetbackup: deps.version,
      ...{ outcome, sandbox, checks: checks.map(recordOfCheck), phases: [...run.phases()], rtoSeconds: rtoSeconds ?? null },
    },
    deps.signingKey,
  );
  try {
    return await put(deps, proof, manifest, signal);
  } catch (error) {
    signal.throwIfAborted();
    // What was found stands, and is told and recorded; that it cannot be put there changes nothing about the backup.
    deps.log({
      type: 'warning',
      text: `the result could not be put beside the backup: ${messageOf(error)}`,
      ...(isJetbackupError(error) && error.hint !== undefined ? { hint: error.hint } : {}),
    });
    return false;
  }
}

async function put(deps: VerifyDeps, proof: Proof, manifest: Manifest, signal: AbortSignal): Promise<boolean> {
  await writeProof(deps.store, proof, signal);
  // A prune may have been deleting it meanwhile: then a proof would be all that is left of it.
  if ((await deps.store.stat(manifestKey(manifest.database, manifest.id), signal)) !== undefined) return true;
  await deps.store.delete(proofKey(manifest.database, manifest.id), AbortSignal.timeout(CLEANUP_MS));
  return false;
}

/** The run record of a verification that came to its end. */
export async function conclude(
  deps: VerifyDeps,
  input: VerifyInput,
  { run, found }: Concluded,
  { outcome, attached }: { readonly outcome: 'proven' | 'failed'; readonly attached: boolean },
  signal: AbortSignal,
): Promise<RunRecord> {
  const of = { database: input.database, failed: outcome === 'failed' ? input.id : undefined, now: run.startedAt };
  const figures = await recoveryFigures(deps.store, of, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    deps.log({ type: 'warning', text: `the RPO could not be told: ${messageOf(error)}` });
    return { newest: undefined, worstGapSeconds: null };
  });
  const verification = recordOf(input.jobs, found, { outcome, attached, worstGapSeconds: figures.worstGapSeconds });
  const rpo = figures.newest === undefined ? {} : { rpoSeconds: run.startedAt.since(figures.newest).total('seconds') };
  const rto = found.rtoSeconds === undefined ? {} : { rtoSeconds: found.rtoSeconds };
  const recorded = { backup: input.id, ...rpo, ...rto, verification };
  if (outcome === 'proven') return await run.succeeded(recorded);
  const failed = found.checks.filter(({ status }) => status === 'fail').map(({ id }) => id);
  return await run.found(new JetbackupError('check-failed', `failed: ${failed.join(', ')}`), recorded);
}
