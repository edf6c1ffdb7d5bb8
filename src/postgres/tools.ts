import { JetbackupError } from '../core/errors.ts';
import type { ProcessRunner } from '../platform/processes.ts';

/** One directory of client programs of one version. */
export interface ClientTools {
  readonly major: number;
  /** What `pg_dump --version` says: `pg_dump (PostgreSQL) 17.6 (Debian 17.6-1)`. */
  readonly version: string;
  readonly directory: string;
  readonly pgDump: string;
  readonly pgRestore: string;
  readonly pgDumpall: string;
  readonly psql?: string;
}

export interface ToolsRequest {
  /** `server_version_num` of the server to be dumped, or restored into. */
  readonly serverVersionNum: number;
  readonly purpose: 'dump' | 'restore';
  /** For `restore`: the manifest's `tools.pgDump`, the version that wrote the archive. */
  readonly dumpedBy?: string;
  /** Look here and nowhere else (the setting `postgres.bindir`). */
  readonly directory?: string;
}

export async function findTools(
  _deps: { readonly processes: ProcessRunner; readonly env: Readonly<Record<string, string | undefined>> },
  _request: ToolsRequest,
  _signal?: AbortSignal,
): Promise<ClientTools> {
  throw new JetbackupError('bug', 'not written yet');
}
