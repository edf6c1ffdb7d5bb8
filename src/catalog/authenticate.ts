import { JetbackupError } from '../core/errors.ts';
import type { Manifest } from '../core/manifest.ts';
import { type PublicKey, verify } from '../crypto/signature.ts';

/**
 * Whether a manifest is what our own signing key signed, for this repository. What a thief of the store's credentials,
 * or a mixed-up bucket, could have put there is refused. (That it stands in its own folder, `readManifest` has checked.)
 * Throws `not-authentic`, and `key-missing` where there is no public key to check with.
 */
export function authenticate(manifest: Manifest, repositoryId: string, publicKeys: readonly PublicKey[]): void {
  if (publicKeys.length === 0) {
    throw new JetbackupError('key-missing', 'there is no public key to check the backup’s signature with', {
      hint: 'Set signing.publicKey (or JETBACKUP_SIGNING_PUBLIC_KEY) to the key that `jetbackup init` printed: ed25519:…',
    });
  }
  verify(manifest, publicKeys);
  if (manifest.repository === repositoryId) return;
  throw new JetbackupError('not-authentic', `backup ${manifest.id} was made for another repository (${manifest.repository})`, {
    hint: 'Somebody copied it here. Open the repository that it was made for, or restore another backup: jetbackup list',
  });
}
