import pg from 'pg';
import { JetbackupError, messageOf } from '../core/errors.ts';
import { majorOf, type Source } from '../core/manifest.ts';
import { alterSettingSql, createDatabaseSql, isTablespaceSetting } from './database-ddl.ts';
import { codeOf, targetError } from './database-errors.ts';
import { connectMaintenance, databaseExists } from './maintenance.ts';
import { type ConnectionSettings, withDatabase } from './settings.ts';
import { readServer } from './source.ts';
import { dropDatabase, dropLine } from './staging-drop.ts';
import { STAGING_MARK, stagingLock, stagingName } from './staging-names.ts';
import { type PromoteOptions, promoteDatabase } from './staging-promote.ts';
import type { StagingRequest } from './staging-request.ts';

/** A database of our own that a restore fills before anyone sees it. Disposing drops it unless it was promoted. */
export interface Staging extends AsyncDisposable {
  readonly name: string;
  /** To reach it. */
  readonly settings: ConnectionSettings;
  /** What could not be set on it, in words. Complete only after `promote`. */
  readonly warnings: readonly string[];
  /**
   * Ends whoever is connected to it, and drops it. Nothing when it is dropped or promoted. Throws `target-unreachable`,
   * `target-denied` or `restore-failed` when it is still there, with the SQL to type as the hint; may be called again.
   */
  drop(): Promise<void>;
  /**
   * Gives it its owner, rights, comment and limit, and its final name, all in one transaction; may be called again when
   * it throws. Throws `target-exists`, `target-unreachable`, `target-denied`, and `restore-failed` when someone stays
   * connected whom this role may not end.
   */
  promote(finalName: string, options?: PromoteOptions): Promise<void>;
}

/**
 * Makes an empty database like the source, which only its owner and superusers can enter. While it is being filled, a
 * session of the maintenance database holds an advisory lock named after it: by that a later run tells a dead run's
 * leftover from a live one's work. The signal stops the making; afterwards `drop` works whether aborted or not.
 * Throws `target-unreachable`, `target-denied`, `target-exists`, `restore-failed` (e.g. a locale that the target lacks).
 */
export async function createStagingDatabase(settings: ConnectionSettings, request: StagingRequest, signal?: AbortSignal): Promise<Staging> {
  signal?.throwIfAborted();
  const name = stagingName(request.finalName, request.runId);
  const quoted = pg.escapeIdentifier(name);
  const warnings: string[] = [];
  // Not tied to the signal: after an abort this connection is the one that drops the database.
  const { client, settings: pinned } = await connectMaintenance(settings, `jetbackup staging ${request.runId}`).catch((error) => {
    throw targetError(error, settings);
  });
  let state: 'absent' | 'live' | 'promoted' = 'absent';
  let dropping: Promise<void> | undefined;
  const drop = async () => {
    if (state !== 'live') return;
    dropping ??= dropDatabase(client, pinned, name).finally(() => {
      dropping = undefined;
    });
    await dropping;
    state = 'absent';
    await client.end().catch(() => {});
  };
  try {
    await client.query("SELECT set_config('default_transaction_read_only', 'off', false)");
    const lock = await client.query<{ got: boolean }>('SELECT pg_try_advisory_lock($1::int8) AS got', [stagingLock(name)]);
    if (lock.rows[0]?.got !== true || (await databaseExists(client, name))) {
      throw new JetbackupError('target-exists', `the database ${name} is there already`, {
        hint: 'Another restore of the same run may be at work; else drop it.',
      });
    }
    const server = await readServer(client);
    state = 'live';
    await client.query(createDatabaseSql(name, request.source, majorOf(server), request.noTablespaces === true)).catch((error) => {
      const failure = creationError(error, request.source, settings);
      // A server that is gone in the middle may have made it all the same.
      if (failure.code !== 'target-unreachable') state = 'absent';
      throw failure;
    });
    await client.query(`COMMENT ON DATABASE ${quoted} IS ${pg.escapeLiteral(STAGING_MARK + request.runId)}`);
    await client.query(`REVOKE CONNECT, TEMPORARY ON DATABASE ${quoted} FROM PUBLIC`);
    warnings.push(...(await applySettings(client, name, request)));
    signal?.throwIfAborted();
  } catch (error) {
    const isLeft = await drop().then(
      () => false,
      () => true,
    );
    await client.end().catch(() => {});
    signal?.throwIfAborted();
    const failure = targetError(error, settings);
    throw isLeft ? withLeftover(failure, name) : failure;
  }
  return {
    name,
    settings: withDatabase(pinned, name),
    warnings,
    drop,
    async promote(final, options = {}) {
      try {
        warnings.push(...(await promoteDatabase(client, pinned, { staging: name, final }, request, options)));
      } catch (error) {
        throw targetError(error, settings);
      }
      state = 'promoted';
      await client.end().catch(() => {});
    },
    async [Symbol.asyncDispose]() {
      // What cannot be dropped now (the server is gone) is swept by the next run; the reason why we are here matters more.
      await drop().catch(() => {});
      await client.end().catch(() => {});
    },
  };
}

function withLeftover({ code, message, hint, cause }: JetbackupError, name: string): JetbackupError {
  const left = `The database ${name} could not be dropped and may be left; the next restore drops it, or type: ${dropLine(name)}`;
  return new JetbackupError(code, message, { hint: hint === undefined ? left : `${hint} ${left}`, cause });
}

function creationError(error: unknown, source: Source, settings: ConnectionSettings): JetbackupError {
  if (/locale|collat|ICU|encoding/i.test(messageOf(error))) {
    const locale =
      source.localeProvider === 'c' ? `${source.collate} / ${source.ctype}` : `${source.locale} (and ${source.collate} / ${source.ctype})`;
    return new JetbackupError(
      'restore-failed',
      `the target cannot make a database with the encoding ${source.encoding} and the locale ${locale}: ${messageOf(error)}`,
      {
        hint: `Make that locale on the target's machine (Debian: add it to /etc/locale.gen, run locale-gen, restart PostgreSQL) or use a server image that has it.`,
        cause: error,
      },
    );
  }
  return targetError(error, settings);
}

/** Before the rows come, as in the source: an expression of an index or a generated column may ask for them. */
async function applySettings(client: pg.Client, name: string, request: StagingRequest): Promise<string[]> {
  const warnings: string[] = [];
  for (const { role, setting } of request.source.settings) {
    if (role !== null && request.noOwner) continue;
    if (request.noTablespaces === true && isTablespaceSetting(setting)) continue;
    try {
      await client.query(alterSettingSql(name, role, setting));
    } catch (error) {
      if (codeOf(error) === undefined) throw error;
      warnings.push(
        `the setting ${setting}${role === null ? '' : ` of role "${role}"`} could not be made on the restored database: ${messageOf(error)}`,
      );
    }
  }
  return warnings;
}
