import { format, inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { redactor, Secret } from '../../../src/config/secret.ts';

describe('a secret', () => {
  it('is not printed by any way of printing it', () => {
    const secret = new Secret('hunter22');
    const outputs = [
      `${secret}`,
      String(secret),
      JSON.stringify({ secret }),
      inspect({ secret }, { showHidden: true }),
      format('%o %s %j', secret, secret, secret),
    ];
    for (const output of outputs) {
      expect(output).not.toContain('hunter22');
      expect(output).toContain('[redacted]');
    }
    expect(secret.reveal()).toBe('hunter22');
  });
});

describe('the redactor', () => {
  it.each([
    'connect postgres://app:s3cr3t-pw@db:5432/x failed',
    'connect postgres://app:s3cr3t-pw@with@at@db/x failed',
    "host=db password='s3cr3t-pw' user=x",
    'secret_access_key: s3cr3t-pw',
  ])('takes a password by its form out of: %s', (text) => {
    expect(redactor()(text)).not.toContain('s3cr3t-pw');
  });

  it('takes out identities and private keys, also cut off ones', () => {
    const text = `x AGE-SECRET-KEY-1QQQQ y\n-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\nz -----BEGIN PRIVATE KEY-----\nMC4`;
    expect(redactor()(text)).toBe('x [redacted] y\n[redacted]\nz [redacted]');
  });

  it('leaves a URL without a password, times and words as they are', () => {
    const text = 'at 12:30 postgres://app@db:5432/x and s3://bucket/prefix: password authentication failed for user "app"';
    expect(redactor()(text)).toBe(text);
  });

  it('takes out every known secret, also URL-encoded and as JSON', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 4, maxLength: 30 }), (secret) => {
        fc.pre(!'[redacted]'.includes(secret) && !'before  after'.includes(secret));
        const redact = redactor([secret]);
        for (const form of [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)]) {
          expect(redact(`before ${form} after`)).not.toContain(form);
        }
      }),
    );
  });

  it('does not black out a user name that is its own password', () => {
    expect(redactor(['postgres'], ['postgres'])('role "postgres" does not exist')).toBe('role "postgres" does not exist');
  });
});
