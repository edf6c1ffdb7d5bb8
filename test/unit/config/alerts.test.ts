import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defaultPolicy } from '../../../src/alerts/policy.ts';
import { alertPolicyOf } from '../../../src/compose/compose.ts';
import type { Config } from '../../../src/config/config.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { formatProblem, problemsOf } from '../../../src/config/problems.ts';
import { redactor } from '../../../src/config/secret.ts';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'jetbackup-alerts-'));
});
afterEach(() => rmSync(cwd, { recursive: true, force: true }));

const top = 'repository: file:///backups\ndatabases:\n  - name: shop\n    url: postgres://app@db/shop\n';

function load(alerts: string, env: Record<string, string> = {}, mode = 0o600): Config {
  writeFileSync(join(cwd, 'jetbackup.yaml'), `${top}${alerts}`, { mode });
  return loadConfig({ cwd, env, file: 'jetbackup.yaml' });
}

function problems(alerts: string, env: Record<string, string> = {}): string[] {
  try {
    load(alerts, env);
  } catch (error) {
    return problemsOf(error).map(formatProblem);
  }
  return [];
}

const SLACK = 'https://hooks.slack.com/services/T0AAAAAAA/B0BBBBBBB/cccccccccccccccccccccccc';

describe('alerts', () => {
  it('of every kind, with their secrets from the environment or a file', () => {
    writeFileSync(join(cwd, 'smtp'), 'pa55word-of-smtp\n');
    const config = load(
      `alerts:
  - slack: { url: \${SLACK_WEBHOOK_URL}, severity: warning, databases: shop }
  - pagerduty: { routingKey: \${PAGERDUTY_KEY}, region: eu }
  - email: { host: smtp.example.com, user: ops, password: \${SMTP_PASSWORD}, from: Backup <backup@example.com>, to: [a@example.com, b@example.com], caFile: ca.pem }
  - webhook: { url: "https://example.com/hook", secret: \${HOOK_SECRET}, rules: [backup-failed, collapse] }
  - heartbeat: { url: "https://hc-ping.com/5a1b6e6c-0000-4000-8000-000000000000", operations: [backup, verify] }
`,
      { SLACK_WEBHOOK_URL: SLACK, PAGERDUTY_KEY: 'R'.repeat(32), SMTP_PASSWORD_FILE: 'smtp', HOOK_SECRET: 'h'.repeat(32) },
    );
    expect(config.alerts).toMatchObject([
      { kind: 'slack', name: 'slack', filter: { severity: 'warning', databases: ['shop'] } },
      { kind: 'pagerduty', region: 'eu', filter: { severity: 'critical' } },
      {
        kind: 'email',
        port: 587,
        tls: 'starttls',
        to: ['a@example.com', 'b@example.com'],
        caFile: join(cwd, 'ca.pem'),
        login: { user: 'ops' },
      },
      { kind: 'webhook', filter: { severity: 'info', rules: ['backup-failed', 'collapse'] } },
      { kind: 'heartbeat', operations: ['backup', 'verify'] },
    ]);
    expect(inspect(config.alerts, { depth: 9 })).not.toMatch(/pa55word|RRRR|hhhh|T0AAAAAAA|5a1b6e6c/);

    const redact = redactor(
      config.secrets.map((secret) => secret.reveal()),
      config.openWords,
    );
    const path = new URL(SLACK).pathname;
    const told = redact(
      `POST ${SLACK}: ${path} ${path.slice(1)} ${'R'.repeat(32)} pa55word-of-smtp ${'h'.repeat(32)} 5a1b6e6c-0000-4000-8000-000000000000`,
    );
    expect(told).not.toMatch(/T0AAAAAAA|RRRR|pa55word|hhhh|\/5a1b6e6c/);
  });

  it('need nothing, and have the thresholds that the rules have', () => {
    const config = load('');
    expect(config.alerts).toEqual([]);
    expect(alertPolicyOf(config.alertPolicy)).toEqual(defaultPolicy);
  });

  it('are told again as often as is said, or never', () => {
    const policy = alertPolicyOf(
      load('alertPolicy: { repeatCritical: 1h, repeatInfo: off, provenWithin: off, storage: 60% }\n').alertPolicy,
    );
    expect(policy).toMatchObject({
      provenWithinMs: null,
      storage: { warning: 0.6, critical: 0.9 },
      repeatMs: { critical: 3_600_000, info: 0 },
    });
  });

  it.each([
    [
      'two of a kind without names',
      `alerts:\n  - slack: { url: "${SLACK}" }\n  - slack: { url: "${SLACK}" }\n`,
      'there is another channel called "slack" above',
    ],
    ['two kinds in one item', `alerts:\n  - slack: { url: "${SLACK}" }\n    heartbeat: { url: "${SLACK}" }\n`, 'each item is one channel'],
    ['an item without a kind', 'alerts:\n  - {}\n', 'Write one of: slack, pagerduty, email, webhook, heartbeat.'],
    ['an unknown kind', `alerts:\n  - slak: { url: "${SLACK}" }\n`, 'unknown key "slak"; did you mean "slack"?'],
    ['an unknown key', `alerts:\n  - slack: { url: "${SLACK}", severty: info }\n`, 'unknown key "severty"; did you mean "severity"?'],
    [
      'an unknown rule',
      `alerts:\n  - slack: { url: "${SLACK}", rules: [backup-faild] }\n`,
      '"backup-faild" is no rule; did you mean "backup-failed"?',
    ],
    [
      'an unknown database',
      `alerts:\n  - slack: { url: "${SLACK}", databases: shopp }\n`,
      'no database "shopp" is configured; did you mean "shop"?',
    ],
    ['plain HTTP', 'alerts:\n  - webhook: { url: "http://example.com/x", secret: 0123456789abcdef }\n', 'is not encrypted'],
    ['no URL at all', 'alerts:\n  - slack: { url: hooks.slack.com }\n', 'is not the URL of a receiver'],
    ['a short secret', 'alerts:\n  - webhook: { url: "https://example.com/x", secret: short }\n', 'must have 16 characters at least'],
    ['a key that is none', 'alerts:\n  - pagerduty: { routingKey: abc }\n', 'integration key'],
    [
      'a password without a user',
      'alerts:\n  - email: { host: h, from: a@b.c, to: a@b.c, password: x }\n',
      '"alerts[0].email.user" is missing',
    ],
    [
      'a password in the clear',
      'alerts:\n  - email: { host: h, from: a@b.c, to: a@b.c, user: u, password: x, tls: off }\n',
      'must not go over a connection that is not encrypted',
    ],
    ['an address that is none', 'alerts:\n  - email: { host: h, from: a@b.c, to: [ops] }\n', '"ops" is no address'],
    ['a variable that is not set', 'alerts:\n  - slack: { url: ${NOT_SET} }\n', 'the environment variable NOT_SET is not set'],
    ['thresholds the wrong way round', 'alertPolicy: { storage: 95% }\n', 'is above storageCritical'],
    ['a share that is none', 'alertPolicy: { storage: 0.7 }\n', 'must be a share from 1% to 99%'],
    ['a duration that is none', 'alertPolicy: { repeatWarning: daily }\n', 'must be a duration, or off'],
  ])('refuse %s', (_, alerts, message) => {
    const found = problems(alerts);
    expect(found.join('\n')).toContain(message);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(/^jetbackup\.yaml:\d+:\d+: /);
    expect(found.join('\n')).not.toContain('T0AAAAAAA');
  });

  it.each(['http://localhost:8080/x', 'http://127.0.0.1/x'])('take plain HTTP to this machine: %s', (url) => {
    expect(problems(`alerts:\n  - heartbeat: { url: "${url}" }\n`)).toEqual([]);
  });

  it('take plain HTTP where it is said to be trusted', () => {
    expect(problems('alerts:\n  - heartbeat: { url: "http://hc.internal/x", allowHttp: true }\n')).toEqual([]);
  });

  it('that are written down are warned of where others can read them', () => {
    expect(load(`alerts:\n  - slack: { url: "${SLACK}" }\n`, {}, 0o644).warnings).toMatchObject([
      { text: expect.stringContaining('another secret') },
    ]);
  });
});
