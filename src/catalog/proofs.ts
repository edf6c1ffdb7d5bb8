import { sha256Hex } from '../core/bytes.ts';
import { isJetbackupError } from '../core/errors.ts';
import { canonicalBytes, type Manifest } from '../core/manifest.ts';
import { type Proof, ProofSchema } from '../core/proof.ts';
import type { ObjectStore } from '../storage/store.ts';
import { proofKey } from './layout.ts';
import { copied, putSigned, readSigned, type Trust } from './signed.ts';

const proofs = { schema: ProofSchema, what: 'the result of a verification', again: 'jetbackup verify ID' };

export async function writeProof(store: ObjectStore, proof: Proof, signal: AbortSignal): Promise<void> {
  await putSigned(store, proofKey(proof.database, proof.backup), proof, signal);
}

/** How a proof names the manifest that it speaks of. */
export function manifestDigest(manifest: Manifest): string {
  return sha256Hex(canonicalBytes(manifest));
}

/**
 * What the newest verification of this backup found, authenticated, and about this very manifest; undefined where there is none.
 * Throws `damaged`, `not-authentic` (also for the proof of another backup), and what the store throws.
 */
export async function readProof(store: ObjectStore, manifest: Manifest, trust: Trust, signal: AbortSignal): Promise<Proof | undefined> {
  const { database, id } = manifest;
  const key = proofKey(database, id);
  const proof = await readSigned(store, key, proofs, trust, signal);
  if (proof === undefined) return undefined;
  if (proof.database === database && proof.backup === id && proof.manifestSha256 === manifestDigest(manifest)) return proof;
  throw copied(key, proofs.again);
}

/** The same where a proof that cannot be read or trusted proves nothing, and is as good as none. */
export async function trustedProof(...args: Parameters<typeof readProof>): Promise<Proof | undefined> {
  try {
    return await readProof(...args);
  } catch (error) {
    if (isJetbackupError(error, 'damaged', 'not-authentic', 'key-missing')) return undefined;
    throw error;
  }
}
