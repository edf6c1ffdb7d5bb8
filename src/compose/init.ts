import { readVariables } from '../config/environment.ts';
import { configInvalid } from '../config/problems.ts';
import { Secret } from '../config/secret.ts';
import { generateIdentity } from '../crypto/identities.ts';
import { generateSigningKey, parsePublicKey, publicKeyPem } from '../crypto/signature.ts';
import { recoveryText } from '../operations/recovery.ts';
import { initRepository } from '../operations/repository.ts';
import { type ConnectionSettings, parseConnection } from '../postgres/connection.ts';
import { passfileLine } from '../postgres/passfile.ts';
import { parseRepositoryUrl } from '../storage/location.ts';
import type { Platform } from './platform.ts';
import { repositoryAt, storeAt } from './stores.ts';

/** What `init` needs, before there is a configuration. */
export function composeInit({ env, cwd, clock }: Platform) {
  const variables = readVariables(env, cwd);
  const variable = (name: string): Secret | undefined => {
    const value = variables.get(name);
    if (variables.problems.length > 0) throw configInvalid(variables.problems);
    return value === undefined || value === '' ? undefined : new Secret(value);
  };
  return {
    variable,
    async newKeys() {
      const { identity, recipient } = await generateIdentity();
      const { privatePem, publicKey } = generateSigningKey();
      return { identity: new Secret(identity), recipient, signingKeyPem: new Secret(privatePem), signingPublicKey: publicKey };
    },
    source(url: Secret | undefined) {
      const password = variable('PGPASSWORD')?.reveal();
      const settings = parseConnection({
        ...(url === undefined ? {} : { url: url.reveal() }),
        env: { ...env, ...(password === undefined ? {} : { PGPASSWORD: password }) },
      });
      return {
        url: connectionUrl(settings),
        database: settings.database,
        user: settings.user,
        passfile: (given?: Secret) => passfileOf(settings, given?.reveal() ?? settings.password?.reveal()),
      };
    },
    checkRepository: (url: string) => void parseRepositoryUrl(url),
    async createRepository(
      request: { readonly repository: string; readonly base: string; readonly database: string; readonly signingPublicKey: string },
      signal: AbortSignal,
    ) {
      const store = await storeAt(repositoryAt(request.repository, request.base), clock, variable);
      try {
        const publicKey = parsePublicKey(request.signingPublicKey, 'the new key');
        const text = recoveryText({ location: store.location, databases: [request.database], publicKeyPem: publicKeyPem(publicKey) });
        const { id } = await initRepository({ store, clock }, { recoveryText: text }, signal);
        return { id, location: store.location };
      } finally {
        store.close();
      }
    },
  };
}

/** A URL that says the same as `settings` without any environment, and holds no password. */
export function connectionUrl(settings: ConnectionSettings): string {
  const { hosts, ssl } = settings;
  const authority = hosts.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : encodeURIComponent(host)}:${port}`).join(',');
  const addresses = hosts.some(({ hostaddr }) => hostaddr !== undefined)
    ? hosts.map(({ hostaddr }) => hostaddr ?? '').join(',')
    : undefined;
  const parameters: Record<string, string | undefined> = {
    port: hosts.length === 0 && settings.port !== 5432 ? String(settings.port) : undefined,
    hostaddr: addresses,
    sslmode: ssl.mode === 'prefer' ? undefined : ssl.mode,
    sslrootcert: ssl.rootCert,
    sslcert: ssl.cert,
    sslkey: ssl.key,
    sslnegotiation: ssl.negotiation,
    target_session_attrs: settings.targetSessionAttributes === 'any' ? undefined : settings.targetSessionAttributes,
    options: settings.options,
  };
  const query = Object.entries(parameters).flatMap(([name, value]) => (value === undefined ? [] : `${name}=${encodeURIComponent(value)}`));
  const user = encodeURIComponent(settings.user);
  return `postgres://${user}@${authority}/${encodeURIComponent(settings.database)}${query.length === 0 ? '' : `?${query.join('&')}`}`;
}

/** For every database of the servers: a restore connects to others than the one that was backed up. */
function passfileOf({ hosts, port, user }: ConnectionSettings, password: string | undefined): Secret | undefined {
  if (password === undefined) return undefined;
  const places = hosts.length === 0 ? [{ host: 'localhost', port }] : hosts;
  // libpq knows every Unix socket as localhost.
  const lines = places.map(({ host, port: at }) =>
    passfileLine([/^[/@]/.test(host) ? 'localhost' : host, String(at), '*', user, password]),
  );
  return new Secret(`${lines.join('\n')}\n`);
}
