import { type ErrorCode, JetbackupError } from '../core/errors.ts';
import type { Server, Source } from '../core/manifest.ts';
import type { ConnectionSettings } from './settings.ts';

/** What stands where a restore wants to go. */
export interface TargetState {
  readonly server: Server;
  readonly databaseExists: boolean;
  /** True also when the database does not exist. */
  readonly isEmpty: boolean;
  readonly canCreateDatabase: boolean;
  readonly canCreateRole: boolean;
  readonly isSuperuser: boolean;
  readonly roles: ReadonlySet<string>;
  /** Name to the versions that CREATE EXTENSION can install. */
  readonly availableExtensions: ReadonlyMap<string, readonly string[]>;
  readonly tablespaces: ReadonlySet<string>;
}

export interface Problem {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

export interface RestoreChoices {
  readonly noOwner: boolean;
  readonly noPrivileges?: boolean;
  readonly noTablespaces?: boolean;
}

/** Looks at the server (through its maintenance database when `settings.database` is not there). Throws `target-unreachable`, `target-denied`. */
export async function inspectTarget(_settings: ConnectionSettings, _signal?: AbortSignal): Promise<TargetState> {
  throw new JetbackupError('bug', 'not written yet');
}

/** Every reason why the restore cannot go well, all at once; empty when none is known. Pure. */
export function missingPrerequisites(_source: Source, _sourceServer: Server, _target: TargetState, _choices: RestoreChoices): Problem[] {
  throw new JetbackupError('bug', 'not written yet');
}

/** Creates those roles that are missing, without login and without password. Returns the ones created. */
export async function createRoles(_settings: ConnectionSettings, _roles: readonly string[], _signal?: AbortSignal): Promise<string[]> {
  throw new JetbackupError('bug', 'not written yet');
}
