/**
 * The one catalogue of everything that can go wrong: a stable code, the exit status that it ends in,
 * and whether trying the same thing again may help. Adapters turn what they catch (AWS, libpq, age,
 * the file system) into one of these codes and keep the cause; nobody else classifies.
 *
 * Exit statuses are a documented contract (README.md): scripts and monitors branch on them.
 */
export const catalogue = {
  bug: { exit: 1, retryable: false },
  usage: { exit: 2, retryable: false },
  'done-in-part': { exit: 3, retryable: false },
  'config-invalid': { exit: 10, retryable: false },
  'storage-unreachable': { exit: 11, retryable: true },
  'storage-denied': { exit: 11, retryable: false },
  'storage-not-found': { exit: 11, retryable: false },
  'storage-exists': { exit: 11, retryable: false },
  'storage-full': { exit: 11, retryable: false },
  'storage-failed': { exit: 11, retryable: false },
  'repository-missing': { exit: 11, retryable: false },
  'repository-exists': { exit: 11, retryable: false },
  locked: { exit: 12, retryable: true },
  'no-backup': { exit: 13, retryable: false },
  'dump-failed': { exit: 20, retryable: false },
  'dump-interrupted-by-lock': { exit: 20, retryable: true },
  'dump-recovery-conflict': { exit: 20, retryable: true },
  'database-unreachable': { exit: 20, retryable: true },
  'database-denied': { exit: 20, retryable: false },
  'tools-missing': { exit: 20, retryable: false },
  'files-unreadable': { exit: 20, retryable: false },
  'key-missing': { exit: 21, retryable: false },
  'key-wrong': { exit: 21, retryable: false },
  damaged: { exit: 22, retryable: false },
  'not-authentic': { exit: 22, retryable: false },
  'restore-failed': { exit: 23, retryable: false },
  'target-exists': { exit: 23, retryable: false },
  'target-unreachable': { exit: 23, retryable: true },
  'target-denied': { exit: 23, retryable: false },
  'target-too-old': { exit: 23, retryable: false },
  'role-missing': { exit: 23, retryable: false },
  'extension-missing': { exit: 23, retryable: false },
  'check-failed': { exit: 30, retryable: false },
  'objective-missed': { exit: 31, retryable: false },
  /** There is nothing to restore into: no engine, no image, no room. */
  'sandbox-unavailable': { exit: 32, retryable: true },
  /** There was, and it could not be told whether the backup is good: the sandbox died, or lacks what the backup needs. */
  unverified: { exit: 32, retryable: true },
  /** The receiver of an alert is down, slow or overloaded. */
  'alert-undelivered': { exit: 40, retryable: true },
  /** It does not take what is sent to it: what is configured is wrong. */
  'alert-refused': { exit: 40, retryable: false },
  interrupted: { exit: 130, retryable: false },
  terminated: { exit: 143, retryable: false },
} as const satisfies Record<string, { exit: number; retryable: boolean }>;

export type ErrorCode = keyof typeof catalogue;

export interface ErrorDetail {
  /** What to type or change next; one or more whole sentences or commands. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** The only error that crosses a module's boundary on purpose. Anything else that arrives in main.ts is a bug. */
export class JetbackupError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.name = 'JetbackupError';
    this.code = code;
    this.hint = detail.hint;
  }

  get exitCode(): number {
    return catalogue[this.code].exit;
  }

  get retryable(): boolean {
    return catalogue[this.code].retryable;
  }
}

export function isJetbackupError(error: unknown, ...codes: ErrorCode[]): error is JetbackupError {
  return error instanceof JetbackupError && (codes.length === 0 || codes.includes(error.code));
}

/** The cause of a `damaged` that is whole and only of a newer jetbackup: nothing can be said about it. */
export class NewerFormat extends Error {
  override readonly name = 'NewerFormat';
}

export function isNewerFormat(error: unknown): boolean {
  return error instanceof JetbackupError && error.cause instanceof NewerFormat;
}

/** Message and hint in one line, for a log. */
export function lineOf(error: unknown): string {
  const hint = error instanceof JetbackupError ? error.hint : undefined;
  return hint === undefined ? messageOf(error) : `${messageOf(error)}; ${hint}`;
}

/** The message of whatever was thrown; for text only, never to branch on. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
