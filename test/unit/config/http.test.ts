import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Config } from '../../../src/config/config.ts';
import { readHttpSettings } from '../../../src/config/http.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { formatProblem, problemsOf } from '../../../src/config/problems.ts';
import { knownKeys } from '../../../src/config/schema.ts';
import { redactor } from '../../../src/config/secret.ts';
import { isJetbackupError } from '../../../src/core/errors.ts';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'jetbackup-http-'));
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

const TOKEN = 'n0bodyKn0wsTh1sT0ken';

function load(http: string, env: Record<string, string> = {}, mode = 0o600): Config {
  writeFileSync(join(cwd, 'jetbackup.yaml'), `repository: file:///backups\n${http}`, { mode });
  return loadConfig({ cwd, env, file: 'jetbackup.yaml' });
}

function problems(http: string, env: Record<string, string> = {}): string[] {
  try {
    load(http, env);
  } catch (error) {
    return problemsOf(error).map(formatProblem);
  }
  return [];
}

describe('http', () => {
  it('is served to this machine alone where nothing is said, and needs nothing', () => {
    expect(load('').http).toEqual({ host: '127.0.0.1', port: 9432, token: undefined, tls: undefined });
  });

  it.each([
    ['off', undefined],
    ['{ listen: off }', undefined],
    ['{ listen: "127.0.0.2:80" }', { host: '127.0.0.2', port: 80 }],
    ['{ listen: "[::1]:9432" }', { host: '::1', port: 9432 }],
    ['{ listen: "[::ffff:127.0.0.1]:9432" }', { host: '::ffff:127.0.0.1', port: 9432 }],
    ['{ listen: localhost:0 }', { host: 'localhost', port: 0 }],
    [`{ listen: 0.0.0.0:9432, token: ${TOKEN} }`, { host: '0.0.0.0', port: 9432 }],
    ['{ listen: "[::]:9432", tlsCert: c.pem, tlsKey: k.pem }', { host: '::', port: 9432 }],
  ])('takes %s', (written, expected) => {
    const { http } = load(`http: ${written}\n`);
    if (expected === undefined) expect(http).toBeUndefined();
    else expect(http).toMatchObject(expected);
  });

  it.each(['0.0.0.0:9432', '[::]:9432', '10.0.0.5:9432', 'backup.example.com:9432', '[::ffff:10.0.0.5]:9432', '128.0.0.1:9432'])(
    'on %s without a token and without TLS is refused, with what to set',
    (listen) => {
      const [problem = ''] = problems(`http: { listen: "${listen}" }\n`);
      expect(problem).toMatch(/^jetbackup\.yaml:2:\d+: "http\.listen": anybody who reaches /);
      expect(problem).toContain('Set token: ${JETBACKUP_HTTP_TOKEN}, or tlsCert and tlsKey; or listen on 127.0.0.1.');
    },
  );

  it.each([
    ['{ listen: 9432 }', 'must be an address and a port, or off'],
    ['{ listen: 127.0.0.1:99999 }', 'must be an address and a port, or off'],
    ['{ listen: "::1:9432" }', 'Write 127.0.0.1:9432, [::1]:9432 or 0.0.0.0:9432.'],
    ['{ listen: "[127.0.0.1]:9432" }', 'must be an address and a port, or off'],
    ['{ token: short }', 'openssl rand -hex 32'],
    ['{ token: "sixteen characters and a space" }', 'must have 16 characters at least'],
    ['{ tlsCert: c.pem }', 'Add tlsKey: …'],
    ['{ tlsKey: k.pem }', 'Add tlsCert: …'],
    ['{ tokn: x }', 'did you mean "token"?'],
    ['sometimes', '"http" must be a section (key: value)'],
  ])('%s is refused: %s', (written, complaint) => {
    expect(problems(`http: ${written}\n`).join('\n')).toContain(complaint);
  });

  it('takes its token and its address from the environment, the token also from a file', () => {
    writeFileSync(join(cwd, 'token'), `${TOKEN}\n`);
    const env = { JETBACKUP_HTTP_LISTEN: '0.0.0.0:8080', JETBACKUP_HTTP_TOKEN_FILE: 'token' };
    const { http, warnings } = load('', env);
    expect(http).toMatchObject({ host: '0.0.0.0', port: 8080 });
    expect(http?.token?.reveal()).toBe(TOKEN);
    expect(warnings).toEqual([]);
    expect(problems('', { JETBACKUP_HTTP_LISTEN: '0.0.0.0:8080' })[0]).toMatch(/^JETBACKUP_HTTP_LISTEN: /);
    expect(problems('', { JETBACKUP_HTTP_TOKEN: 'short' })[0]).toMatch(/^JETBACKUP_HTTP_TOKEN: /);
  });

  it('that is off stays off whatever token there is, and comes back with an address', () => {
    expect(load('http: off\n', { JETBACKUP_HTTP_TOKEN: TOKEN }).http).toBeUndefined();
    expect(load('http: off\n', { JETBACKUP_HTTP_LISTEN: '127.0.0.1:80' }).http).toMatchObject({ port: 80 });
    expect(load('', { JETBACKUP_HTTP_LISTEN: 'off' }).http).toBeUndefined();
  });

  it('is described with every key', () => {
    const page = readFileSync(join(import.meta.dirname, '../../../docs/CONFIGURATION.md'), 'utf8');
    expect(knownKeys(['http'])).toHaveLength(4);
    for (const key of knownKeys(['http'])) expect(page, key).toContain(`\`${key}\``);
  });

  it('keeps its token out of everything that is printed', () => {
    const config = load(`http: { token: ${TOKEN} }\n`);
    expect(inspect(config, { depth: 9 })).not.toContain(TOKEN);
    expect(JSON.stringify(config)).not.toContain(TOKEN);
    expect(redactor(config.secrets.map((secret) => secret.reveal()))(`Bearer ${TOKEN}`)).toBe('Bearer [redacted]');
    expect(problems(`http: { token: "${TOKEN}!" }\n`).join('\n')).not.toContain(TOKEN);
  });

  it('warns of a token or a key that others can read', () => {
    const written = load(`http: { token: ${TOKEN} }\n`, {}, 0o644);
    expect(written.warnings.map(({ text }) => text)).toEqual([expect.stringContaining('holds a password or another secret')]);
    expect(load('http: {}\n', { JETBACKUP_HTTP_TOKEN: TOKEN }, 0o644).warnings).toEqual([]);
    writeFileSync(join(cwd, 'k.pem'), '', { mode: 0o644 });
    const key = load('http: { tlsCert: c.pem, tlsKey: k.pem }\n');
    expect(key.warnings.map(({ text }) => text)).toEqual([`other users can read ${join(cwd, 'k.pem')}`]);
  });

  it('reads certificate and key only for whoever serves, from beside the file', () => {
    const { http } = load('http: { tlsCert: tls/c.pem, tlsKey: tls/k.pem }\n');
    if (http === undefined) throw new Error('it is off');
    expect(http.tls).toEqual({ certFile: join(cwd, 'tls/c.pem'), keyFile: join(cwd, 'tls/k.pem') });
    let failure: unknown;
    try {
      readHttpSettings(http);
    } catch (error) {
      failure = error;
    }
    expect(isJetbackupError(failure, 'config-invalid') && failure.message).toContain('http.tlsCert cannot be read');
    writeFileSync(join(cwd, 'c.pem'), 'the certificate');
    writeFileSync(join(cwd, 'k.pem'), 'the key', { mode: 0o600 });
    const settings = readHttpSettings({ ...http, tls: { certFile: join(cwd, 'c.pem'), keyFile: join(cwd, 'k.pem') } });
    expect(settings.tls?.cert.toString()).toBe('the certificate');
    expect(settings.tls?.key.toString()).toBe('the key');
  });
});
