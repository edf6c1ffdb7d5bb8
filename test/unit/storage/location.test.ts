import { describe, expect, it } from 'vitest';
import { JetbackupError } from '../../../src/core/errors.ts';
import { parseRepositoryUrl } from '../../../src/storage/location.ts';

function problem(text: string): JetbackupError {
  try {
    parseRepositoryUrl(text);
  } catch (error) {
    if (error instanceof JetbackupError) return error;
    throw error;
  }
  throw new Error(`${text} should have been refused`);
}

describe('the URL of a repository', () => {
  it.each([
    ['file:///var/lib/jetbackup', '/var/lib/jetbackup'],
    ['file:///srv/my%20backups', '/srv/my backups'],
    ['/var/lib/jetbackup', '/var/lib/jetbackup'],
    ['./backups', './backups'],
    ['../backups', '../backups'],
    ['.', '.'],
    ['  /padded  ', '/padded'],
  ])('%s is a directory', (text, directory) => {
    expect(parseRepositoryUrl(text)).toEqual({ kind: 'filesystem', directory });
  });

  it('of a bucket alone leaves everything else to the defaults', () => {
    expect(parseRepositoryUrl('s3://backups')).toEqual({ kind: 's3', bucket: 'backups', prefix: '' });
  });

  it('of a bucket may say everything that the store needs to know', () => {
    const text =
      's3://Backups_1/jet%20admin/prod/?region=eu-central-1&endpoint=https://s3.example.com:9000/&path-style=false&sse=aws:kms&kms-key-id=arn:aws:kms:x:1:key/a+b&storage-class=STANDARD_IA&ca-file=/etc/ca.pem';
    expect(parseRepositoryUrl(text)).toEqual({
      kind: 's3',
      bucket: 'Backups_1',
      prefix: 'jet admin/prod',
      region: 'eu-central-1',
      endpoint: 'https://s3.example.com:9000',
      pathStyle: false,
      sse: 'aws:kms',
      kmsKeyId: 'arn:aws:kms:x:1:key/a+b',
      storageClass: 'STANDARD_IA',
      caFile: '/etc/ca.pem',
    });
  });

  it.each([
    ['s3://AKIAEXAMPLE:hunter2@backups/x'],
    ['s3://backups/x?secret-access-key=hunter2'],
    ['s3://backups/x?AWS_SECRET=hunter2'],
    ['s3://backups/x?session_token=hunter2'],
    ['s3://backups?endpoint=https://AKIAEXAMPLE:hunter2@minio.local'],
  ])('with credentials in it is refused, names the variables to set, and does not repeat them: %#', (text) => {
    const error = problem(text);
    expect(error.code).toBe('config-invalid');
    expect(error.message).toContain('credentials');
    expect(error.hint).toContain('AWS_SECRET_ACCESS_KEY');
    expect(error.message + error.hint).not.toContain('hunter2');
  });

  it('with a misspelt setting is told what was meant', () => {
    expect(problem('s3://backups?regoin=eu-central-1').message).toContain('did you mean "region"?');
    expect(problem('s3://backups?kms_key_id=1&sse=aws:kms').message).toContain('did you mean "kms-key-id"?');
    expect(problem('s3://backups?zzzzzzzzzzzzz=1').message).not.toContain('did you mean');
  });

  it('with many problems is told all of them at once', () => {
    const { message } = problem(
      's3://backups:99/a//b?regoin=x&endpoint=ftp://h&path-style=yes&sse=DES&kms-key-id=1&storage-class=GLACIER&region=#x',
    );
    for (const part of [
      'port',
      '"#"',
      'empty',
      '"regoin"',
      '"endpoint"',
      '"path-style"',
      '"sse"',
      '"kms-key-id"',
      'GLACIER',
      '"region" has no value',
    ]) {
      expect(message).toContain(part);
    }
  });

  it.each([
    ['backups', 'neither a URL nor a path'],
    ['https://bucket.s3.amazonaws.com', 'https://'],
    ['s3://', 'bucket'],
    ['s3:///prefix', 'bucket'],
    ['s3://b%zz/x', 'escape'],
    ['s3://backups/%C3%A4', 'ASCII'],
    ['s3://backups?region=a&region=b', 'twice'],
    ['file://host/dir', 'file URL'],
    ['file:///dir?x=1', '"?"'],
    ['', 'neither'],
  ])('%j is refused with a reason', (text, reason) => {
    const error = problem(text);
    expect(error.code).toBe('config-invalid');
    expect(error.message).toContain(reason);
  });
});
