import { JetbackupError, messageOf } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import { type ConnectionSettings, openClient, parseConnection } from '../../postgres/connection.ts';
import { type Engine, inTime } from './container-engine.ts';
import { lastWords } from './container-trouble.ts';

/** initdb and the first start take a second or two; on a busy machine with a slow disk, a minute. */
const START_MS = 180_000;
const POLL_MS = 50;
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Where the server is reached, which stands only after the start. Throws `sandbox-unavailable`. */
export async function addressOf(
  engine: Engine,
  name: string,
  { isOnNetwork, clock }: { readonly isOnNetwork: boolean; readonly clock: Clock },
  signal: AbortSignal,
): Promise<Address> {
  const { NetworkSettings, State } = await inTime(clock, signal, () => engine.docker.getContainer(name).inspect());
  const own = NetworkSettings.Networks[name]?.IPAddress;
  if (isOnNetwork && own !== undefined && own !== '') return { host: own, port: 5432 };
  const published = NetworkSettings.Ports['5432/tcp']?.[0]?.HostPort;
  if (!isOnNetwork && published !== undefined)
    return { host: engine.host === 'localhost' ? '127.0.0.1' : engine.host, port: Number(published) };
  const why = State.Running ? 'the engine gave it no address' : await lastWords(engine, name, clock);
  throw new JetbackupError('sandbox-unavailable', `the server in the container did not start: ${why}`, { hint: SERVER_HINT });
}

export function connectionTo({ host, port }: Address, user: string, password: string): ConnectionSettings {
  return parseConnection({
    env: {
      ...{ PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password, PGDATABASE: 'postgres' },
      // The image has no certificate, and no Kerberos.
      ...{ PGSSLMODE: 'disable', PGGSSENCMODE: 'disable' },
    },
  });
}

const SERVER_HINT =
  'Check verify.image (JETBACKUP_SANDBOX_IMAGE) and verify.settings: the image must take the variables of the official postgres image.';

/**
 * By TCP: the official image first runs a server on its socket alone, for its init scripts. Throws `sandbox-unavailable` with the
 * server's last words where it ends instead, or takes three minutes.
 */
export async function untilItAnswers(
  engine: Engine,
  name: string,
  settings: ConnectionSettings,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const started = clock.monotonicMs();
  for (;;) {
    signal.throwIfAborted();
    try {
      const client = await openClient(settings, { applicationName: 'jetbackup', signal });
      await client.query('SELECT 1').finally(() => client.end());
      return;
    } catch (error) {
      signal.throwIfAborted();
      const { State } = await inTime(clock, signal, () => engine.docker.getContainer(name).inspect());
      const isLate = clock.monotonicMs() - started > START_MS;
      if (State.Running && !isLate) {
        await clock.sleep(POLL_MS, signal);
        continue;
      }
      const why = State.OOMKilled ? 'it ran out of memory' : await lastWords(engine, name, clock);
      const how = State.Running
        ? `did not answer within ${START_MS / 1000} s (${messageOf(error)})`
        : `ended with status ${State.ExitCode}`;
      throw new JetbackupError('sandbox-unavailable', `the server in the container ${how}: ${why}`, { cause: error, hint: SERVER_HINT });
    }
  }
}
