import { JetbackupError } from '../core/errors.ts';
import type { ConnectionSettings } from './settings.ts';

export interface LibpqEnvironment extends AsyncDisposable {
  readonly env: Readonly<Record<string, string>>;
}

export async function libpqEnvironment(
  _settings: ConnectionSettings,
  _base: Readonly<Record<string, string | undefined>>,
  _extra: { readonly applicationName: string; readonly options?: string },
): Promise<LibpqEnvironment> {
  throw new JetbackupError('bug', 'not written yet');
}
