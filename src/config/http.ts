import { readFileSync } from 'node:fs';
import { BlockList, isIP } from 'node:net';
import * as z from 'zod';
import { JetbackupError, messageOf } from '../core/errors.ts';
import type { Raw } from './document.ts';
import { Secret } from './secret.ts';

/* Where the daemon serves health and metrics. */

const OFF = 'off';
const DEFAULT_LISTEN = '127.0.0.1:9432';

interface Listen {
  readonly host: string;
  readonly port: number;
}

/** `HOST:PORT`; IPv6 in brackets. Port 0 is any that is free. */
function parseListen(text: string): Listen | undefined {
  const [, inBrackets, name, digits = ''] = /^(?:\[([^\]]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  const host = inBrackets ?? name;
  if (host === undefined || port > 65_535) return undefined;
  return inBrackets !== undefined && isIP(inBrackets) !== 6 ? undefined : { host, port };
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

function isLoopback(host: string): boolean {
  const family = isIP(host);
  return family === 0 ? host === 'localhost' : loopback.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

/** As long as that of a webhook, and of the letters that an Authorization header takes (RFC 6750). */
const token = z.string().refine((value) => /^[A-Za-z0-9._~+/-]{16,1024}=*$/.test(value), {
  message: 'must have 16 characters at least, letters, digits and - . _ ~ + /',
  params: { remedy: 'Make one with: openssl rand -hex 32' },
});

export const HttpSchema = z
  .strictObject({
    listen: z
      .string()
      .refine((text) => text === OFF || parseListen(text) !== undefined, {
        message: 'must be an address and a port, or off',
        params: { remedy: `Write ${DEFAULT_LISTEN}, [::1]:9432 or 0.0.0.0:9432.` },
      })
      .transform((text) => (text === OFF ? undefined : parseListen(text)))
      .prefault(DEFAULT_LISTEN),
    token: token.optional(),
    tlsCert: z.string().optional(),
    tlsKey: z.string().optional(),
  })
  .superRefine(({ listen, token: given, tlsCert, tlsKey }, context) => {
    const problem = (key: string, message: string, remedy: string) =>
      void context.addIssue({ code: 'custom', path: [key], message, params: { remedy } });
    if (tlsCert !== undefined && tlsKey === undefined) return problem('tlsCert', 'tlsCert and tlsKey belong together', 'Add tlsKey: …');
    if (tlsKey !== undefined && tlsCert === undefined) return problem('tlsKey', 'tlsCert and tlsKey belong together', 'Add tlsCert: …');
    if (listen === undefined || isLoopback(listen.host) || given !== undefined || tlsCert !== undefined) return;
    // Names of databases, and when each was last backed up, are nobody's business.
    const remedy = 'Set token: ${JETBACKUP_HTTP_TOKEN}, or tlsCert and tlsKey; or listen on 127.0.0.1.';
    problem(
      'listen',
      `anybody who reaches ${listen.host} could read it: other addresses than this machine's own need a token or TLS`,
      remedy,
    );
  });

export interface HttpConfig {
  readonly host: string;
  readonly port: number;
  /** Undefined: none is asked for. */
  readonly token: Secret | undefined;
  /** Absolute paths of PEM files. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
}

/** `http: off` as the section that it stands for, so that what the environment says is laid over it and does not replace it. */
export function httpSection(raw: { readonly [key: string]: Raw }): { [key: string]: Raw } {
  return raw['http'] === OFF ? { ...raw, http: { listen: OFF } } : { ...raw };
}

/** Undefined where it is off. */
export function httpOf(
  { listen, token: given, tlsCert, tlsKey }: z.output<typeof HttpSchema>,
  absolute: (path: string, key: 'tlsCert' | 'tlsKey') => string,
): HttpConfig | undefined {
  if (listen === undefined) return undefined;
  return {
    ...listen,
    token: given === undefined ? undefined : new Secret(given),
    tls:
      tlsCert === undefined || tlsKey === undefined
        ? undefined
        : { certFile: absolute(tlsCert, 'tlsCert'), keyFile: absolute(tlsKey, 'tlsKey') },
  };
}

/**
 * What a server takes, with the files read: only by whoever serves, since other commands may run as a user who must not read the key.
 * Throws `config-invalid`.
 */
export function readHttpSettings({ host, port, token: given, tls }: HttpConfig) {
  return {
    ...{ host, port, token: given === undefined ? undefined : () => given.reveal() },
    tls: tls === undefined ? undefined : { cert: readPem(tls.certFile, 'http.tlsCert'), key: readPem(tls.keyFile, 'http.tlsKey') },
  };
}

function readPem(path: string, setting: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new JetbackupError('config-invalid', `${setting} cannot be read: ${messageOf(cause)}`, {
      cause,
      hint: `Let ${setting} name a PEM file that the user of the daemon may read.`,
    });
  }
}
