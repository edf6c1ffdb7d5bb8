import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type EmailSettings, emailChannel } from '../../../src/alerts/email.ts';
import { isJetbackupError, type JetbackupError } from '../../../src/core/errors.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { deadPort, httpReceiver } from '../../support/http-receiver.ts';
import { certificate, hastened, mailServer, never, notice, secret } from './receivers.ts';

let tls: Awaited<ReturnType<typeof certificate>>;
beforeAll(async () => {
  tls = await certificate();
});
afterAll(() => tls.remove());

const login = { user: 'ops', password: secret('pa55word-of-smtp') };
const settings = (port: number, changes: Partial<EmailSettings> = {}): EmailSettings => ({
  name: 'mail',
  host: 'localhost',
  port,
  tls: 'starttls',
  caFile: tls.caFile,
  login,
  from: 'jetbackup <jetbackup@example.com>',
  to: ['ops@example.com', 'dba@example.com'],
  ...changes,
});
const channel = (port: number, changes: Partial<EmailSettings> = {}) => emailChannel({ clock: hastened }, settings(port, changes));
const starttls = () => ({ key: tls.key, cert: tls.cert, secure: false });
const header = (mail: string | undefined, name: string) =>
  new RegExp(`^${name}: (.*(?:\r\n .*)*)`, 'mi').exec(mail ?? '')?.[1]?.replaceAll(/\r\n\s+/g, ' ');

async function failure(port: number, changes: Partial<EmailSettings> = {}): Promise<JetbackupError> {
  const error: unknown = await channel(port, changes)
    .send(notice(), never)
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
  if (!isJetbackupError(error)) throw new Error(`expected an error of the catalogue, got ${inspect(error)}`);
  expect(`${inspect(error, { depth: 9 })} ${error.hint ?? ''}`).not.toMatch(/pa55word|wrong-pa55/);
  return error;
}

describe('e-mail', () => {
  it('goes to everybody over STARTTLS with a login, as text and HTML', async () => {
    await using server = await mailServer(starttls());
    await channel(server.port).send(notice(), never);
    expect(server.mails).toMatchObject([
      { from: 'jetbackup@example.com', to: ['ops@example.com', 'dba@example.com'], encrypted: true, user: 'ops' },
    ]);
    const text = server.mails[0]?.text;
    expect(header(text, 'Subject')).toBe('[jetbackup] CRITICAL shop: the last backup failed');
    expect(header(text, 'Auto-Submitted')).toBe('auto-generated');
    expect(text).toContain('next: jetbackup backup shop');
    expect(text).toContain('&lt;pg_dump&gt; &amp; &quot;friends&quot;');
  });

  it('goes over TLS from the first byte', async () => {
    await using server = await mailServer({ ...starttls(), secure: true });
    await channel(server.port, { tls: 'implicit' }).send(notice(), never);
    expect(server.mails[0]?.encrypted).toBe(true);
  });

  it('shows an incident as one thread', async () => {
    await using server = await mailServer(starttls());
    const first = notice();
    for (const one of [first, notice({ kind: 'repeat', id: 'second' }), notice({ kind: 'resolve', id: 'third' }), first]) {
      await channel(server.port).send(one, never);
    }
    const threads = server.mails.map(({ text }) => header(text, 'References'));
    expect(new Set(threads).size).toBe(1);
    expect(threads[0]).toMatch(/^<[0-9a-f]{40}@example\.com>$/);
    const ids = server.mails.map(({ text }) => header(text, 'Message-ID'));
    expect(new Set(ids.slice(0, 3)).size).toBe(3);
    expect(ids[3]).toBe(ids[0]);
    expect(header(server.mails[2]?.text, 'Subject')).toBe('[jetbackup] RESOLVED shop: the last backup failed');
  });

  it('is not sent, and no password either, where the server offers no encryption', async () => {
    await using server = await mailServer({ secure: false, hideSTARTTLS: true, disabledCommands: ['STARTTLS'] });
    expect(await failure(server.port)).toMatchObject({ code: 'alert-refused' });
    expect(server.mails).toEqual([]);
  });

  it('is sent without encryption only where that is configured', async () => {
    await using server = await mailServer({ secure: false, disabledCommands: ['STARTTLS', 'AUTH'] });
    await channel(server.port, { tls: 'off', login: undefined }).send(notice(), never);
    expect(server.mails[0]?.encrypted).toBe(false);
  });

  it('is not sent to a server whose certificate nobody vouches for', async () => {
    await using server = await mailServer(starttls());
    expect(await failure(server.port, { caFile: undefined })).toMatchObject({
      code: 'alert-refused',
      hint: expect.stringContaining('caFile'),
    });
    expect(server.mails).toEqual([]);
  });

  it('says that the login is wrong, and tries only once', async () => {
    await using server = await mailServer(starttls());
    const wrong = { user: 'ops', password: secret('wrong-pa55word') };
    const begun = systemClock.monotonicMs();
    expect(await failure(server.port, { login: wrong })).toMatchObject({
      code: 'alert-refused',
      message: `mail (localhost:${server.port}) refused the login (EAUTH, SMTP 535)`,
    });
    expect(systemClock.monotonicMs() - begun).toBeLessThan(2000);
  });

  it('that one of several recipients does not get was not delivered', async () => {
    await using server = await mailServer(starttls(), { recipient: ['dba@example.com', 550] });
    expect(await failure(server.port)).toMatchObject({
      code: 'alert-refused',
      message: expect.stringContaining('refused 1 of 2 recipients'),
    });
    expect(server.mails).toHaveLength(1);
  });

  it('is sent again to a server that was busy', async () => {
    await using server = await mailServer(starttls(), { recipient: ['ops@example.com', 451], times: 2 });
    await channel(server.port, { to: ['ops@example.com'] }).send(notice(), never);
    expect(server.mails).toHaveLength(1);
  });

  it('names a server that is down', async () => {
    const port = await deadPort();
    expect(await failure(port)).toMatchObject({
      code: 'alert-undelivered',
      message: expect.stringContaining(`mail (localhost:${port}) cannot be reached`),
    });
  });

  it('does not wait for a server that never says a word, nor after an interruption', async () => {
    await using silent = await httpReceiver();
    const port = Number(silent.host.split(':')[1]);
    expect(await failure(port, { host: '127.0.0.1' })).toMatchObject({
      code: 'alert-undelivered',
      message: expect.stringContaining('no answer within 10 s'),
    });
    const controller = new AbortController();
    const sent = channel(port, { host: '127.0.0.1' }).send(notice(), controller.signal);
    setTimeout(() => controller.abort(new Error('interrupted')), 50);
    await expect(sent).rejects.toThrow('interrupted');
  });
});
