import { isJetbackupError, JetbackupError, messageOf } from '../core/errors.ts';
import type { SandboxKind } from '../core/verification.ts';
import type { Sandbox } from '../verify/sandbox.ts';

/** Tells whose fault a failure is. */
export interface Attribution {
  /** What fails in here fails because of the sandbox, or of ourselves. */
  neverTheBackup<T>(work: () => Promise<T>): Promise<T>;
  /** The error, where the backup is to blame; throws it, as `unverified` where it is none of ours, otherwise. */
  verdictOn(error: unknown): Promise<JetbackupError>;
}

/** `isOlder`: the sandbox's server is of an older minor or major than the source, and may not know what that one keeps. */
export function attribution(
  { sandbox, isOlder }: { readonly sandbox: Sandbox; readonly isOlder: boolean },
  signal: AbortSignal,
): Attribution {
  return {
    async neverTheBackup(work) {
      try {
        return await work();
      } catch (error) {
        signal.throwIfAborted();
        throw await asUnverified(error, sandbox, signal);
      }
    },
    async verdictOn(error) {
      signal.throwIfAborted();
      if (!isJetbackupError(error, 'damaged', 'not-authentic', 'restore-failed', 'role-missing'))
        throw await asUnverified(error, sandbox, signal);
      const isOfTheStream = isJetbackupError(error, 'damaged', 'not-authentic');
      if (!isOfTheStream && says(libraryMissing, error)) throw await asUnverified(error, sandbox, signal, LIBRARY_HINT);
      if (!isOfTheStream && isOlder) throw await asUnverified(error, sandbox, signal, OLDER_HINT);
      if (!isOfTheStream && (says(sandboxSymptoms, error) || (await sandbox.trouble(signal)) !== undefined))
        throw await asUnverified(error, sandbox, signal);
      return error;
    },
  };
}

/** What PostgreSQL says when it, its disk or its machine is at its end, or lacks what is not in a database: no word about the backup. */
const sandboxSymptoms =
  /No space left on device|could not (?:extend|write|open|fsync|resize)[^:]*: |out of (?:shared )?memory|server closed the connection|terminating connection|the database system is|could not create locale|could not connect|Cannot allocate memory|Disk quota exceeded/i;

/** Functions in C keep the path of their library, which no dump holds (fmgr/dfmgr.c). */
const libraryMissing = /could not (?:access file|load library)|incompatible library|could not find function "[^"]*" in file/;

const LIBRARY_HINT =
  'Functions of the database are in a library that the sandbox lacks, or has in another version. Name an image that has it: verify.image (JETBACKUP_SANDBOX_IMAGE). Or install it where the sandbox runs.';

function says(symptoms: RegExp, error: JetbackupError): boolean {
  return symptoms.test(error.message) || (error.cause !== undefined && symptoms.test(messageOf(error.cause)));
}

const ownCodes =
  /^(?:storage-|repository-|key-|config-|usage$|locked$|interrupted$|terminated$|unverified$|sandbox-unavailable$|no-backup$|bug$)/;

const OLDER_HINT =
  'The sandbox is older than the server that was backed up, which may be why. Verify in one of the same minor version or newer: pull the image again, or update the PostgreSQL packages.';

const AGAIN_HINT = 'The backup is neither proven nor found bad. Verify it again.';

const full = /No space left on device|Disk quota exceeded|\b(?:is|are) full\b/;

const roomHints: Readonly<Record<SandboxKind, string>> = {
  container:
    'The backup is neither proven nor found bad. Let the sandbox keep its data on disk (verify.storage: disk), raise verify.memory, or make room where the engine keeps its volumes (docker system df).',
  local: 'The backup is neither proven nor found bad. Set verify.directory to a directory with more room, or make some there.',
  server: 'The backup is neither proven nor found bad. Make room on that server, or verify elsewhere: --sandbox container or local.',
};

/** The error as what it is for a verification: nothing is known. What has a code of its own for that keeps it. */
export async function asUnverified(error: unknown, sandbox: Sandbox, signal: AbortSignal, remedy?: string): Promise<unknown> {
  if (isJetbackupError(error) && ownCodes.test(error.code)) return error;
  const trouble = await sandbox.trouble(signal).catch((cause: unknown) => messageOf(cause));
  // With trouble of the sandbox's own, what the step itself would advise (is the server running?) leads astray.
  const own = isJetbackupError(error) && trouble === undefined ? error.hint : undefined;
  const isFull = full.test(messageOf(error)) || (trouble !== undefined && full.test(trouble));
  const hint = remedy ?? (isFull ? roomHints[sandbox.kind] : own) ?? AGAIN_HINT;
  const why = trouble === undefined ? '' : ` (${trouble})`;
  return new JetbackupError(
    'unverified',
    `the verification could not go on in the sandbox, ${sandbox.description}${why}: ${messageOf(error)}`,
    {
      cause: error,
      hint,
    },
  );
}
