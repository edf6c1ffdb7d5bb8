import type { ByteStream } from '../core/bytes.ts';
import { JetbackupError } from '../core/errors.ts';
import type { ProcessRunner } from '../platform/processes.ts';
import type { ConnectionSettings } from './settings.ts';
import type { ClientTools } from './tools.ts';

export interface GlobalsRequest {
  readonly settings: ConnectionSettings;
  readonly tools: ClientTools;
  /** Whether to try for the roles' password hashes, which only a superuser may read. */
  readonly rolePasswords: boolean;
  readonly baseEnv: Readonly<Record<string, string | undefined>>;
}

/** Roles, memberships, role settings and tablespaces as SQL, and in words what is missing from it. */
export async function dumpGlobals(
  _deps: { readonly processes: ProcessRunner },
  _request: GlobalsRequest,
  _signal?: AbortSignal,
): Promise<{ stream: ByteStream; warnings: string[] }> {
  throw new JetbackupError('bug', 'not written yet');
}
