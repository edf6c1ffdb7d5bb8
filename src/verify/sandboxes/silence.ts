import { isJetbackupError } from '../../core/errors.ts';
import { type ConnectionSettings, openClient } from '../../postgres/connection.ts';

/** Why a server does not answer, in words; undefined where it does. Throws the signal's reason. */
export async function silenceOf(settings: ConnectionSettings, signal?: AbortSignal): Promise<string | undefined> {
  try {
    const client = await openClient(settings, { applicationName: 'jetbackup sandbox', ...(signal === undefined ? {} : { signal }) });
    await client.end();
    return undefined;
  } catch (error) {
    signal?.throwIfAborted();
    if (!isJetbackupError(error)) throw error;
    return error.message;
  }
}
