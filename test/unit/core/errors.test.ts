import { describe, expect, test } from 'vitest';
import { catalogue, isJetbackupError, JetbackupError, messageOf } from '../../../src/core/errors.ts';

describe('the catalogue of errors', () => {
  test('uses only the documented exit statuses', () => {
    const documented = new Set([1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23, 30, 31, 32, 40, 130, 143]);
    expect(Object.entries(catalogue).filter(([, { exit }]) => !documented.has(exit))).toEqual([]);
  });

  test('never tries again what is damaged, denied or wrong', () => {
    for (const code of ['damaged', 'not-authentic', 'key-wrong', 'storage-denied', 'database-denied', 'bug'] as const) {
      expect(catalogue[code].retryable).toBe(false);
    }
  });
});

describe('an error', () => {
  test('carries code, exit status, hint and cause', () => {
    const cause = new Error('ECONNRESET');
    const error = new JetbackupError('storage-unreachable', 'cannot reach s3.example.com', { hint: 'Check the endpoint.', cause });
    expect(error).toMatchObject({ code: 'storage-unreachable', exitCode: 11, retryable: true, hint: 'Check the endpoint.', cause });
    expect(new JetbackupError('bug', 'x')).not.toHaveProperty('cause');
  });

  test('is told from others by its code', () => {
    const error: unknown = new JetbackupError('damaged', 'x');
    expect(isJetbackupError(error)).toBe(true);
    expect(isJetbackupError(error, 'not-authentic', 'damaged')).toBe(true);
    expect(isJetbackupError(error, 'not-authentic')).toBe(false);
    expect(isJetbackupError(new Error('x'))).toBe(false);
    expect([messageOf(new Error('a')), messageOf('b'), messageOf(undefined)]).toEqual(['a', 'b', 'undefined']);
  });
});
