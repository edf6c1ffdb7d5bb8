import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isJetbackupError, JetbackupError, messageOf } from '../core/errors.ts';
import { type AlertChannel, type Notice, type Sensitive, TakenInPart } from './alert.ts';
import { type AttemptDeps, attempts } from './attempts.ts';
import { headline, lines, stateText } from './words.ts';

export interface EmailSettings {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** `starttls`: nothing is sent before the connection is encrypted. `implicit`: encrypted from the first byte (port 465). */
  readonly tls: 'starttls' | 'implicit' | 'off';
  /** Of the authority that signed the server's certificate, where that is not a public one; PEM. */
  readonly caFile: string | undefined;
  readonly login: { readonly user: string; readonly password: Sensitive } | undefined;
  readonly from: string;
  readonly to: readonly string[];
}

/** Longer than an attempt takes: `attempts` ends what hangs. */
const SOCKET_MS = 30_000;

/**
 * E-mail by SMTP. All mails of an incident refer to one Message-ID that comes of its key, so that mail programs show them
 * as one thread; a mail that is sent twice has the same Message-ID both times.
 */
export function emailChannel(deps: AttemptDeps, settings: EmailSettings): AlertChannel {
  const { name, host, port } = settings;
  const what = `${name} (${host}:${port})`;
  // 20 MB of memory that only this channel is for; and now, since the files of a service may be replaced while it runs.
  const library = import('nodemailer');
  library.catch(() => {});
  return {
    name,
    async send(notice, signal) {
      const ca = settings.caFile === undefined ? undefined : await readAuthority(settings.caFile, name);
      const { createTransport } = await library;
      await attempts(deps, what, (limit) => sendOnce(createTransport, { settings, ca, what }, notice, limit), signal);
    },
  };
}

async function readAuthority(path: string, channel: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new JetbackupError('alert-refused', `${channel}: the caFile cannot be read: ${messageOf(cause)}`, {
      cause,
      hint: 'Name a PEM file that this user may read.',
    });
  }
}

async function sendOnce(
  createTransport: typeof import('nodemailer').createTransport,
  { settings, ca, what }: { readonly settings: EmailSettings; readonly ca: Buffer | undefined; readonly what: string },
  notice: Notice,
  signal: AbortSignal,
): Promise<void> {
  const { host, port, tls, login, from, to } = settings;
  const transport = createTransport({
    host,
    port,
    secure: tls === 'implicit',
    requireTLS: tls === 'starttls',
    ignoreTLS: tls === 'off',
    tls: { minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) },
    ...(login === undefined ? {} : { auth: { user: login.user, pass: login.password.reveal() } }),
    connectionTimeout: SOCKET_MS,
    greetingTimeout: SOCKET_MS,
    socketTimeout: SOCKET_MS,
    // Nothing of a notice is a file or an address to be fetched.
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  const thread = messageId(`${notice.dedupKey}/${notice.since}`, from);
  try {
    const { rejected } = await transport.sendMail({
      from,
      to: [...to],
      subject: `[jetbackup] ${headline(notice)}`,
      messageId: messageId(notice.id, from),
      references: thread,
      inReplyTo: thread,
      date: new Date(notice.at),
      headers: { 'Auto-Submitted': 'auto-generated', 'X-Jetbackup-Rule': notice.rule, 'X-Jetbackup-Key': notice.dedupKey },
      text: textOf(notice),
      html: htmlOf(notice),
      signal,
    });
    if (rejected.length > 0) {
      throw new JetbackupError('alert-refused', `${what} refused ${rejected.length} of ${to.length} recipients`, {
        cause: new TakenInPart(),
        hint: `The others have it. Take out of "to" of the alert "${settings.name}" whoever is no longer there.`,
      });
    }
  } catch (error) {
    signal.throwIfAborted();
    throw isJetbackupError(error) ? error : classified(error, settings, what);
  } finally {
    transport.close();
  }
}

/** Codes only: a server's answer may repeat the login. 4xx is for a while (RFC 5321, 4.2.1), 5xx for good. */
function classified(error: unknown, { name, tls }: EmailSettings, what: string): JetbackupError {
  const code = stringOf(error, 'code') ?? 'ESMTP';
  const status = numberOf(error, 'responseCode');
  const told = status === undefined ? code : `${code}, SMTP ${status}`;
  if (code === 'EAUTH' && (status === undefined || status >= 500)) {
    return new JetbackupError('alert-refused', `${what} refused the login (${told})`, {
      hint: `Check the user and password of the alert "${name}".`,
    });
  }
  if (status !== undefined && status >= 500) {
    return new JetbackupError('alert-refused', `${what} refused the mail (${told})`, {
      hint: `Check "from" and "to" of the alert "${name}", and whether the server wants a login.`,
    });
  }
  if (status === undefined && (code === 'ETLS' || isCertificateProblem(error))) {
    return new JetbackupError('alert-refused', `${what}: no encrypted connection can be made (${told})`, {
      hint:
        tls === 'starttls'
          ? 'Use tls: implicit where the port is 465; set caFile where the certificate is signed by an authority of your own.'
          : 'Use tls: starttls where the port is 587 or 25; set caFile where the certificate is signed by an authority of your own.',
    });
  }
  return new JetbackupError('alert-undelivered', `${what} cannot be reached or does not take mail now (${told})`, {
    hint: 'Check host and port, and that the server runs.',
  });
}

/** OpenSSL's names for what is wrong with a certificate, by which Node.js reports it; or a peer that speaks no TLS. */
function isCertificateProblem(error: unknown): boolean {
  const text = messageOf(error);
  return /certificate|altnames|wrong version number|self-signed/i.test(text);
}

function stringOf(error: unknown, key: 'code'): string | undefined {
  const value = typeof error === 'object' && error !== null ? Reflect.get(error, key) : undefined;
  return typeof value === 'string' ? value : undefined;
}

function numberOf(error: unknown, key: 'responseCode'): number | undefined {
  const value = typeof error === 'object' && error !== null ? Reflect.get(error, key) : undefined;
  return typeof value === 'number' ? value : undefined;
}

/** Of the sender's domain, as spam filters expect; a digest, because keys have characters that have none in it. */
function messageId(of: string, from: string): string {
  const domain = /@([A-Za-z0-9.-]+)>?\s*$/.exec(from)?.[1] ?? 'jetbackup.invalid';
  return `<${createHash('sha256').update(of).digest('hex').slice(0, 40)}@${domain}>`;
}

function textOf(notice: Notice): string {
  return `${headline(notice)}\n\n${lines(notice).join('\n')}\n`;
}

const colors = { info: '#2b6cb0', warning: '#b7791f', critical: '#c53030' } as const;

function htmlOf(notice: Notice): string {
  const over = notice.kind === 'resolve' || notice.kind === 'test';
  const color = over ? '#2f855a' : colors[notice.severity];
  const rows = lines(notice).map((line) => `<p style="margin:4px 0">${escaped(line)}</p>`);
  return `<div style="font-family:sans-serif"><p><strong style="color:${color}">${escaped(stateText(notice))}</strong> ${escaped(notice.summary)}</p>${rows.join('')}</div>`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
