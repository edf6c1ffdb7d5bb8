import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import type { Notice } from '../../../src/alerts/alert.ts';
import { type Clock, systemClock } from '../../../src/platform/clock.ts';

export interface Mail {
  readonly from: string;
  readonly to: readonly string[];
  readonly text: string;
  readonly encrypted: boolean;
  readonly user: string | undefined;
}

export interface MailServer extends AsyncDisposable {
  readonly port: number;
  readonly mails: Mail[];
}

/** A real SMTP server; `refuse` answers a recipient or a login with that status. */
export async function mailServer(
  options: SMTPServerOptions,
  refuse: { readonly recipient?: readonly [address: string, status: number]; readonly times?: number } = {},
): Promise<MailServer> {
  const mails: Mail[] = [];
  let refusals = refuse.times ?? Number.POSITIVE_INFINITY;
  const server = new SMTPServer({
    authOptional: true,
    disableReverseLookup: true,
    logger: false,
    onAuth: ({ username, password }, _session, callback) => {
      if (username === 'ops' && password === 'pa55word-of-smtp') callback(null, { user: username });
      else callback(Object.assign(new Error(`no such login: ${username ?? ''} ${password ?? ''}`), { responseCode: 535 }));
    },
    onRcptTo: ({ address }, _session, callback) => {
      const hit = refuse.recipient?.[0] === address && refusals > 0;
      if (hit) refusals -= 1;
      callback(hit ? Object.assign(new Error('not now'), { responseCode: refuse.recipient?.[1] }) : undefined);
    },
    onData: async (stream, session, callback) => {
      let text = '';
      for await (const chunk of stream) text += String(chunk);
      const { mailFrom, rcptTo } = session.envelope;
      mails.push({
        from: mailFrom === false ? '' : mailFrom.address,
        to: rcptTo.map(({ address }) => address),
        text,
        encrypted: session.secure,
        user: session.user === undefined ? undefined : String(session.user),
      });
      callback();
    },
    ...options,
  });
  // A client that turns away from a certificate is what some tests are about.
  server.on('error', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
  const address = server.server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    mails,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** A certificate for `localhost` of an authority of our own. */
export async function certificate(): Promise<{
  readonly caFile: string;
  readonly key: Buffer;
  readonly cert: Buffer;
  remove(): Promise<void>;
}> {
  const folder = await mkdtemp(join(tmpdir(), 'alerts-tls-'));
  const openssl = (...args: string[]) => promisify(execFile)('openssl', args, { cwd: folder });
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  await openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'server.key', '-out', 'server.crt', '-days', '2', ...subject);
  const caFile = join(folder, 'server.crt');
  const [key, cert] = await Promise.all([readFile(join(folder, 'server.key')), readFile(caFile)]);
  return { caFile, key, cert, remove: () => rm(folder, { recursive: true }) };
}

/** The real time, in which waits pass ten times as fast: 10 s are one, enough for a mail on a machine that is busy. */
export const hastened: Clock = {
  now: () => systemClock.now(),
  monotonicMs: () => systemClock.monotonicMs() * 10,
  sleep: (ms, signal) => systemClock.sleep(ms / 10, signal),
};

export function notice(changes: Partial<Notice> = {}): Notice {
  return {
    id: 'jetbackup/r/backup-failed/shop/trigger/2026-11-25T12:00:00.000Z',
    kind: 'trigger',
    rule: 'backup-failed',
    database: 'shop',
    subject: null,
    severity: 'critical',
    summary: 'shop: the last backup failed',
    detail: ['dump-failed: <pg_dump> & "friends"'],
    dedupKey: 'jetbackup/r/backup-failed/shop',
    since: '2026-11-25T12:00:00.000Z',
    at: '2026-11-25T12:00:00.000Z',
    hint: 'jetbackup backup shop',
    ...changes,
  };
}

export const never = new AbortController().signal;
export const secret = (value: string) => ({ reveal: () => value });
