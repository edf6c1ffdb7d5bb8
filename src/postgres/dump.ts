import type { ByteStream } from '../core/bytes.ts';
import { JetbackupError } from '../core/errors.ts';
import type { ProcessRunner } from '../platform/processes.ts';
import type { ConnectionSettings } from './settings.ts';
import type { ClientTools } from './tools.ts';

export interface DumpRequest {
  /** `ExportedSnapshot.settings`. */
  readonly settings: ConnectionSettings;
  readonly tools: ClientTools;
  /** `ExportedSnapshot.id`. */
  readonly snapshot: string;
  /** How long to wait for a table lock, in ms, before giving way to the application. */
  readonly lockTimeoutMs: number;
  /** Of our own environment, what children may see: PATH, HOME, LANG, TMPDIR... */
  readonly baseEnv: Readonly<Record<string, string | undefined>>;
}

export function dumpDatabase(_deps: { readonly processes: ProcessRunner }, _request: DumpRequest, _signal?: AbortSignal): ByteStream {
  throw new JetbackupError('bug', 'not written yet');
}
