import { type ErrorCode, JetbackupError, messageOf } from '../core/errors.ts';
import { type ConnectionSettings, describeConnection } from './settings.ts';

/** The SQLSTATE of an error that the server sent, or the code of a socket or TLS error. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** Connection, resources (disk, memory, locks), shutdown and input/output (PostgreSQL, Appendix A): the server's own trouble. */
const ofTheServer = /^(?:08|53|57P|58|40)|^55P03$/;

/** The SQLSTATE of what the server said of a statement; undefined where it speaks of its own trouble, or is not there to speak. */
export function stateOf(error: unknown): string | undefined {
  const code = codeOf(error);
  return code !== undefined && /^[0-9A-Z]{5}$/.test(code) && !/^E[A-Z]+$/.test(code) && !ofTheServer.test(code) ? code : undefined;
}

/** A server's own error has a five-character SQLSTATE; `08...` (connection), `57P0x` (shutdown, startup) and `53300` (no slot left) pass by themselves. */
const unreachableStates = /^(08...|57P0[123]|53300)$/;
const socketCodes = /^(E[A-Z]+|EAI_[A-Z]+)$/;

const deniedHints: Readonly<Record<string, string>> = {
  '28P01': 'Check the user and the password (PGPASSWORD, the URL, or ~/.pgpass with mode 0600).',
  '28000': 'The server lets this user not in from here: check pg_hba.conf, the user name and sslmode.',
  '3D000': 'Check the database name; psql -l lists what there is.',
  '42501': 'Grant the right that is missing, or connect as another user.',
};

/**
 * Turns what `pg` throws into `database-unreachable` (worth another try) or `database-denied`; anything else into
 * `otherwise`. An error of ours passes through.
 */
export function databaseError(error: unknown, settings: ConnectionSettings, otherwise: ErrorCode = 'dump-failed'): JetbackupError {
  if (error instanceof JetbackupError) return error;
  const where = describeConnection(settings);
  const code = codeOf(error);
  const text = messageOf(error) || code || 'unknown error';
  const make = (kind: ErrorCode, hint?: string) =>
    new JetbackupError(kind, `${where}: ${text}`, { cause: error, ...(hint === undefined ? {} : { hint }) });
  if (code !== undefined && (code in deniedHints || code.startsWith('28'))) return make('database-denied', deniedHints[code]);
  if (code !== undefined && unreachableStates.test(code)) return make('database-unreachable');
  if (code === 'EACCES' || code === 'EPERM') return make('database-denied', 'This user of the machine may not use the socket.');
  if (/password must be a (non-empty )?string|no password supplied/i.test(text)) {
    return make(
      'database-denied',
      'The server wants a password and none is known: set PGPASSWORD, put it into the URL or into ~/.pgpass (mode 0600).',
    );
  }
  if (/does not support SSL/.test(text)) return make('database-denied', 'Turn SSL on at the server, or use sslmode=prefer.');
  if (code !== undefined && /^(CERT_|ERR_TLS_|ERR_SSL_|ERR_OSSL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_)/.test(code)) {
    return make('database-denied', 'The certificates do not fit: check sslrootcert, sslcert, sslkey and sslmode.');
  }
  if ((code !== undefined && socketCodes.test(code)) || /terminated|timeout expired|not queryable|connection error/i.test(text)) {
    return make('database-unreachable', 'Is the server running, and is the way to it open?');
  }
  return make(otherwise);
}

/** The same trouble seen from a restore: exit status 23 instead of 20. */
export function targetError(error: unknown, settings: ConnectionSettings): JetbackupError {
  const found = databaseError(error, settings, 'restore-failed');
  const code =
    found.code === 'database-unreachable' ? 'target-unreachable' : found.code === 'database-denied' ? 'target-denied' : undefined;
  if (code === undefined) return found;
  return new JetbackupError(code, found.message, {
    cause: found.cause ?? found,
    ...(found.hint === undefined ? {} : { hint: found.hint }),
  });
}
