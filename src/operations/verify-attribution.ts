import { isJetbackupError, JetbackupError, messageOf } from '../core/errors.ts';
import type { SandboxKind } from '../core/verification.ts';
import { ProcessFailed } from '../platform/processes.ts';
import { saidIn } from '../postgres/restore.ts';
import type { Sandbox } from '../verify/sandbox.ts';

/** Tells whose fault a failure is. The backup is blamed for what can be nothing else; in doubt nothing is known. */
export interface Attribution {
  /** What fails in here fails because of the sandbox, or of ourselves. */
  neverTheBackup<T>(work: () => Promise<T>): Promise<T>;
  /** The error, where the backup is to blame for it; throws `unverified`, or what has a code of its own for that, otherwise. */
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
      const failed = processFailedIn(error);
      if (failed === undefined) {
        // Of the stream, which is held against the signed manifest byte by byte: no sandbox has to do with that.
        if (isJetbackupError(error, 'damaged', 'not-authentic')) return error;
        throw await asUnverified(error, sandbox, signal);
      }
      if (libraryMissing.test(saidIn(failed.stderr).join('\n'))) throw await asUnverified(error, sandbox, signal, LIBRARY_HINT);
      if (isOlder) throw await asUnverified(error, sandbox, signal, OLDER_HINT);
      const isKnown = isJetbackupError(error, 'damaged', 'restore-failed') || (isJetbackupError(error, 'role-missing') && sandbox.isOurs);
      if (!isKnown || !isAboutTheDump(failed) || (await sandbox.trouble(signal)) !== undefined) {
        throw await asUnverified(error, sandbox, signal);
      }
      return error;
    },
  };
}

function processFailedIn(error: unknown): ProcessFailed | undefined {
  for (let next = error; next instanceof Error; next = next.cause) if (next instanceof ProcessFailed) return next;
  return undefined;
}

/**
 * What PostgreSQL says when it, its disk or its machine is at its end, or lacks what is no part of a database (a library, a
 * preload, a locale, an extension's files, a newer minor): no word about the backup.
 */
const sandboxSymptoms = new RegExp(
  [
    ...['No space left on device', 'Disk quota exceeded', 'disk full', 'out of (?:shared )?memory', 'Cannot allocate memory'],
    ...['Too many open files', 'Resource temporarily unavailable', 'could not (?:fork|create worker process)'],
    ...[
      'could not (?:extend|write|open|access|fsync|resize|read block|stat|create|link|rename|remove) (?!from input)[^:]*: ',
      'could not load library',
    ],
    ...['error while loading shared libraries', 'must be preloaded', 'can only be loaded via', 'shared_preload_libraries'],
    ...['canceling statement due to', 'canceling autovacuum', 'terminating connection', 'server closed the connection'],
    ...['connection to server', 'no connection to the server', 'could not connect', 'the database system is', 'too many clients'],
    ...['could not create locale', 'extension "[^"]*" is not available', 'extension control file', 'no installation script'],
    ...['unrecognized (?:configuration )?parameter', 'unsupported version'],
  ].join('|'),
  'i',
);

/** Functions in C keep the path of their library, which no dump holds (fmgr/dfmgr.c). */
const libraryMissing = /could not (?:access file|load library)|incompatible library|could not find function "[^"]*" in file/;

const LIBRARY_HINT =
  'Functions of the database are in a library that the sandbox lacks, or has in another version. Name an image that has it: verify.image (JETBACKUP_SANDBOX_IMAGE). Or install it where the sandbox runs.';

/** Of pg_restore itself, about what it reads; the bytes were as signed, so it was so when it was dumped. */
const archiveComplaint =
  /^pg_restore: error: (?:could not read from input file|unexpected end of file|did not find magic string|corrupt|.*out of order)/m;
const serverError = /(?:^|: )ERROR: {1,2}\S/m;

/** Whether it ended by itself, and for something that the server refused of what was dumped, or that was not to be read. */
function isAboutTheDump({ killedBy, exitCode, stderr }: ProcessFailed): boolean {
  // 126 and 127: it could not be started, by a shell's convention that stdbuf and wrappers follow.
  if (killedBy !== null || exitCode === null || exitCode >= 126) return false;
  const said = saidIn(stderr).join('\n');
  return !sandboxSymptoms.test(said) && (serverError.test(said) || archiveComplaint.test(said));
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

/**
 * The error as what it is for a verification: nothing is known. What has a code of its own for that keeps it. Only the first line is
 * recorded, and names nothing of the database: the server's own words come behind it.
 */
export async function asUnverified(error: unknown, sandbox: Sandbox, signal: AbortSignal, remedy?: string): Promise<unknown> {
  if (isJetbackupError(error) && ownCodes.test(error.code)) return error;
  const trouble = await sandbox.trouble(signal).catch((cause: unknown) => messageOf(cause));
  // With trouble of the sandbox's own, what the step itself would advise (is the server running?) leads astray.
  const own = isJetbackupError(error) && trouble === undefined ? error.hint : undefined;
  const isFull = full.test(messageOf(error)) || (trouble !== undefined && full.test(trouble));
  const hint = remedy ?? (isFull ? roomHints[sandbox.kind] : own) ?? AGAIN_HINT;
  const why = trouble === undefined ? '' : `: ${trouble}`;
  return new JetbackupError(
    'unverified',
    `the verification could not go on in the sandbox (${sandbox.description})${why}\n${messageOf(error)}`,
    { cause: error, hint },
  );
}
