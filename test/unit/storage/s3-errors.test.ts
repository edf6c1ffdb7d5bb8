import { describe, expect, it } from 'vitest';
import { factsOf, isAmbiguous, isPassing, S3Failure, storageError } from '../../../src/storage/s3-errors.ts';

const action = { text: 'upload "a/b"', needs: 's3:PutObject', bucket: 'backups', location: 's3://backups/x' };
const answer = (name: string, status: number, headers: Record<string, string> = {}) =>
  Object.assign(new Error(`the server said ${name}`), { name, $metadata: { httpStatusCode: status }, $response: { headers } });
const system = (code: string) => Object.assign(new Error(`connect ${code}`), { code });
const classify = (error: unknown, attempts = 1) => storageError(new S3Failure(factsOf(error), attempts, false, error), action);

describe('what an S3 store answers', () => {
  it.each([
    [answer('AccessDenied', 403), 'storage-denied', 's3:PutObject'],
    [answer('403', 403), 'storage-denied', 's3:PutObject'],
    [answer('InvalidAccessKeyId', 403), 'storage-denied', 'AWS_ACCESS_KEY_ID'],
    [answer('SignatureDoesNotMatch', 403), 'storage-denied', 'AWS_SECRET_ACCESS_KEY'],
    [answer('ExpiredToken', 400), 'storage-denied', 'AWS_SESSION_TOKEN'],
    [answer('InvalidToken', 400), 'storage-denied', 'AWS_SESSION_TOKEN'],
    [answer('RequestTimeTooSkewed', 403), 'storage-denied', 'clock'],
    [
      Object.assign(new Error('Could not load credentials from any providers'), { name: 'CredentialsProviderError' }),
      'storage-denied',
      'AWS_ACCESS_KEY_ID',
    ],
    [answer('NoSuchBucket', 404), 'storage-not-found', 'aws s3 mb s3://backups'],
    [answer('NoSuchKey', 404), 'storage-not-found', undefined],
    [answer('PermanentRedirect', 301, { 'x-amz-bucket-region': 'eu-west-3' }), 'storage-failed', '?region=eu-west-3'],
    [answer('AuthorizationHeaderMalformed', 400, { 'x-amz-bucket-region': 'eu-west-3' }), 'storage-failed', '?region=eu-west-3'],
    [answer('AuthorizationHeaderMalformed', 400), 'storage-failed', 'region='],
    [new Error('Region is missing'), 'storage-failed', 'AWS_REGION'],
    [answer('PreconditionFailed', 412), 'storage-exists', undefined],
    [answer('QuotaExceeded', 403), 'storage-full', 'quota'],
    [answer('XMinioStorageFull', 507), 'storage-full', 'whole folders'],
    [answer('ServiceUnavailable', 503), 'storage-unreachable', 'again'],
    [answer('TooMany', 429), 'storage-unreachable', 'again'],
    [system('ECONNREFUSED'), 'storage-unreachable', 'again'],
    [system('ENOTFOUND'), 'storage-unreachable', 'resolve'],
    [system('SELF_SIGNED_CERT_IN_CHAIN'), 'storage-failed', 'ca-file'],
    [system('ERR_TLS_CERT_ALTNAME_INVALID'), 'storage-failed', 'ca-file'],
    [answer('EntityTooLarge', 400), 'storage-failed', undefined],
    ['not even an error', 'storage-failed', undefined],
  ])('%s becomes %s', (error, code, hint) => {
    const result = classify(error);
    expect(result.code).toBe(code);
    if (hint !== undefined) expect(result.hint).toContain(hint);
    expect(result.message).toContain('upload "a/b" in s3://backups/x');
  });

  it('says how often it was tried, and keeps the cause', () => {
    const error = answer('SlowDown', 503);
    expect(classify(error, 5).message).toContain('after 5 attempts');
    expect(classify(error).cause).toBe(error);
  });

  it('is tried again only where another answer may come', () => {
    const passing = [
      answer('SlowDown', 503),
      answer('x', 500),
      answer('x', 502),
      answer('BadDigest', 400),
      answer('x', 429),
      system('ECONNRESET'),
      system('EAI_AGAIN'),
    ];
    const final = [
      answer('AccessDenied', 403),
      answer('NotImplemented', 501),
      answer('NoSuchKey', 404),
      answer('PreconditionFailed', 412),
      system('CERT_HAS_EXPIRED'),
    ];
    for (const error of passing) expect([error.message, isPassing(factsOf(error))]).toEqual([error.message, true]);
    for (const error of final) expect([error.message, isPassing(factsOf(error))]).toEqual([error.message, false]);
  });

  it('may have been done where no answer or half of one came, and not where it was refused', () => {
    expect(isAmbiguous(factsOf(system('ECONNRESET')))).toBe(true);
    expect(isAmbiguous(factsOf(answer('InternalError', 500)))).toBe(true);
    expect(isAmbiguous(factsOf(answer('SlowDown', 503)))).toBe(true);
    expect(isAmbiguous(factsOf(answer('NotImplemented', 501)))).toBe(false);
    expect(isAmbiguous(factsOf(answer('AccessDenied', 403)))).toBe(false);
  });
});
