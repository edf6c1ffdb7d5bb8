import { isJetbackupError, JetbackupError } from '../../core/errors.ts';
import { majorOf } from '../../core/manifest.ts';
import { type ConnectionSettings, describeConnection, withDatabase } from '../../postgres/connection.ts';
import { inspectTarget, sweepStaging, type TargetState } from '../../postgres/restore.ts';
import type { SandboxProvider } from '../sandbox.ts';
import { silenceOf } from './silence.ts';

/**
 * A server that somebody provides, which stays. The database on it is made, dropped and swept as every staging database is, so a
 * sandbox here is no more than the proof that this can be done.
 */
export function serverSandboxes(settings: ConnectionSettings): SandboxProvider {
  const where = describeServer(settings);
  return {
    kind: 'server',

    /** It is there, and stays. */
    async fetch() {},

    async start(request, signal) {
      const state = await inspectTarget(settings, signal).catch((error: unknown) => {
        signal.throwIfAborted();
        throw unavailable(error, `the server for verifications, ${where}, cannot be used`);
      });
      const objection = objectionTo(state, settings.user, request.major);
      if (objection !== undefined) {
        const { reason, hint } = objection;
        throw new JetbackupError('sandbox-unavailable', `the server for verifications, ${where}, ${reason}`, { hint });
      }
      // The user's own database, which libpq takes where none is named, need not be there.
      const reachable = state.databaseExists ? settings : withDatabase(settings, 'postgres');
      const version = state.server.version.split(' ')[0];
      return {
        ...{ kind: 'server', description: `PostgreSQL ${version} at ${where}`, profile: null, isOurs: false, settings: reachable },
        trouble: (asked) => silenceOf(reachable, asked),
        async [Symbol.asyncDispose]() {},
      };
    },

    async sweep(signal) {
      try {
        return (await sweepStaging(settings, signal)).map((name) => `the database ${name} at ${where}`);
      } catch (error) {
        signal.throwIfAborted();
        // It could look, and one that it may not drop, or that somebody works in, stays for the next time.
        if (isJetbackupError(error, 'restore-failed')) return [];
        throw unavailable(error, `cannot look for what killed runs left at ${where}`);
      }
    },
  };
}

/** Why a server cannot take a staging database of this major, and what to do. Pure. */
export function objectionTo(
  { server, canCreateDatabase }: Pick<TargetState, 'server' | 'canCreateDatabase'>,
  user: string,
  major: number,
): { readonly reason: string; readonly hint: string } | undefined {
  const theirs = majorOf(server);
  if (theirs < major) {
    return {
      reason: `is PostgreSQL ${theirs}, older than the ${major} that the backup is of`,
      hint: `Name one of PostgreSQL ${major} or newer, or verify in a container: --sandbox container.`,
    };
  }
  if (server.standby) return { reason: 'is a standby, on which no database can be made', hint: 'Name a primary.' };
  if (!canCreateDatabase) {
    return {
      reason: `does not let the user ${user} make databases`,
      hint: `Give that right there: ALTER ROLE "${user.replaceAll('"', '""')}" CREATEDB.`,
    };
  }
  return undefined;
}

/** Its place and user, and no database, which a verification has nothing to do with. */
function describeServer(settings: ConnectionSettings): string {
  return describeConnection(settings).slice(`${settings.database} on `.length);
}

function unavailable(error: unknown, what: string): unknown {
  if (!isJetbackupError(error, 'target-unreachable', 'target-denied')) return error;
  return new JetbackupError('sandbox-unavailable', `${what}: ${error.message}`, {
    cause: error,
    hint: `${error.hint ?? 'Is the server running, and is the way to it open?'} The server is named by verify.sandbox (--sandbox).`,
  });
}
