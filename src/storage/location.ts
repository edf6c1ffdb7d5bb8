import { isAbsolute } from 'node:path';
import { fileURLToPath } from 'node:url';
import { closest, distance } from 'fastest-levenshtein';
import { JetbackupError, messageOf } from '../core/errors.ts';

export interface FilesystemLocation {
  readonly kind: 'filesystem';
  /** As it was written; a relative one is taken from the working directory. */
  readonly directory: string;
}

export interface S3Location {
  readonly kind: 's3';
  readonly bucket: string;
  /** Without slashes at its ends; empty for the whole bucket. */
  readonly prefix: string;
  readonly region?: string;
  readonly endpoint?: string;
  readonly pathStyle?: boolean;
  readonly sse?: 'AES256' | 'aws:kms';
  readonly kmsKeyId?: string;
  readonly storageClass?: string;
  readonly caFile?: string;
}

export type RepositoryLocation = FilesystemLocation | S3Location;

const queryKeys = ['region', 'endpoint', 'path-style', 'sse', 'kms-key-id', 'storage-class', 'ca-file'] as const;
type QueryKey = (typeof queryKeys)[number];

const CREDENTIALS_HINT =
  'Leave credentials out of the URL, which lands in logs and process lists: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN), or AWS_PROFILE.';

/**
 * Reads where a repository is: `file:///dir`, `/dir`, `./dir`, or `s3://bucket/prefix?region=…&endpoint=https://…`
 * with `path-style`, `sse` (AES256, aws:kms), `kms-key-id`, `storage-class` and `ca-file`.
 * Throws `config-invalid` with every problem at once. Pure: looks at nothing but the text.
 */
export function parseRepositoryUrl(text: string): RepositoryLocation {
  const trimmed = text.trim();
  if (isAbsolute(trimmed) || /^\.{1,2}(\/|$)/.test(trimmed)) return { kind: 'filesystem', directory: trimmed };
  let url: URL;
  try {
    url = new URL(trimmed);
  } catch (cause) {
    throw new JetbackupError('config-invalid', `the repository ${JSON.stringify(redacted(trimmed))} is neither a URL nor a path`, {
      hint: 'Write file:///var/lib/jetbackup, ./backups, or s3://bucket/prefix?region=eu-central-1',
      cause,
    });
  }
  if (url.protocol === 'file:') return parseFile(url);
  if (url.protocol === 's3:') return parseS3(url);
  throw new JetbackupError('config-invalid', `a repository cannot be at ${url.protocol}//`, {
    hint: `Known are ${['file://', 's3://'].join(' and ')}. For an S3-compatible server write s3://bucket/prefix?endpoint=https://host`,
  });
}

function redacted(text: string): string {
  return text.replace(/\/\/[^/@\s]*@/, '//***@');
}

function parseFile(url: URL): FilesystemLocation {
  try {
    if (url.search !== '' || url.hash !== '') throw new Error('a file URL takes no "?" or "#"; write them as %3F and %23');
    return { kind: 'filesystem', directory: fileURLToPath(url) };
  } catch (cause) {
    throw new JetbackupError('config-invalid', `the repository ${url.href} is not a usable file URL: ${messageOf(cause)}`, {
      hint: 'Write an absolute path with three slashes: file:///var/lib/jetbackup',
      cause,
    });
  }
}

function parseS3(url: URL): S3Location {
  const problems: string[] = [];
  const hints = new Set<string>();
  const complain = (problem: string, hint?: string) => {
    problems.push(problem);
    if (hint !== undefined) hints.add(hint);
  };

  if (url.username !== '' || url.password !== '') complain('it has credentials in it', CREDENTIALS_HINT);
  if (url.hash !== '') complain('it has a "#"; write it as %23');
  if (url.port !== '') complain('it has a port', 'The host of an S3-compatible server goes into ?endpoint=https://host:port');
  const bucket = bucketOf(url, complain);
  const prefix = prefixOf(url, complain);
  const query = queryOf(url, complain);
  const settings = settingsOf(query, complain);

  if (problems.length > 0) {
    // Not the URL itself: it may hold the credentials that the problem is about.
    throw new JetbackupError('config-invalid', `the repository s3://${bucket}/${prefix} cannot be used: ${problems.join('; ')}`, {
      ...(hints.size > 0 && { hint: [...hints].join(' ') }),
    });
  }
  return { kind: 's3', bucket, prefix, ...settings };
}

type Complain = (problem: string, hint?: string) => void;

function bucketOf(url: URL, complain: Complain): string {
  const bucket = decoded(url.hostname, complain);
  if (bucket === '') complain('it names no bucket', 'Write s3://bucket/prefix');
  // Wider than Amazon's rule (lower case, 3 to 63): other stores allow more, and say so themselves.
  else if (!/^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$/.test(bucket)) complain(`${JSON.stringify(bucket)} is no name of a bucket`);
  return bucket;
}

function prefixOf(url: URL, complain: Complain): string {
  const prefix = decoded(url.pathname, complain).replaceAll(/^\/+|\/+$/g, '');
  if (!/^[\x20-\x7e]*$/.test(prefix)) complain('its prefix has characters other than printable ASCII');
  if (prefix !== '' && prefix.split('/').some((step) => step === '' || step === '.' || step === '..')) {
    complain('its prefix has an empty, "." or ".." step');
  }
  if (prefix.length > 800) complain('its prefix is longer than 800 characters');
  return prefix;
}

function decoded(text: string, complain: Complain): string {
  try {
    return decodeURIComponent(text);
  } catch {
    complain(`${JSON.stringify(text)} has a broken %-escape`);
    return text;
  }
}

function isQueryKey(name: string): name is QueryKey {
  return queryKeys.some((key) => key === name);
}

/** Values by name. "+" stands for itself: this is no form, and key ids or paths may have one. */
function queryOf(url: URL, complain: Complain): ReadonlyMap<QueryKey, string> {
  const query = new Map<QueryKey, string>();
  for (const pair of url.search.slice(1).split('&').filter(Boolean)) {
    const at = pair.indexOf('=');
    const name = decoded(at === -1 ? pair : pair.slice(0, at), complain);
    const value = at === -1 ? '' : decoded(pair.slice(at + 1), complain);
    if (/access.?key|secret|token|password|credential/i.test(name)) complain(`it has credentials in it ("${name}")`, CREDENTIALS_HINT);
    else if (!isQueryKey(name)) complain(`"${name}" is unknown${suggestion(name)}`, `Known are: ${queryKeys.join(', ')}.`);
    else if (query.has(name)) complain(`"${name}" is there twice`);
    else if (value === '') complain(`"${name}" has no value`);
    else query.set(name, value);
  }
  return query;
}

function suggestion(name: string): string {
  const nearest = closest(name.toLowerCase().replaceAll('_', '-'), queryKeys);
  return distance(name, nearest) <= Math.max(2, nearest.length / 2) ? `; did you mean "${nearest}"?` : '';
}

function settingsOf(query: ReadonlyMap<QueryKey, string>, complain: Complain): Omit<S3Location, 'kind' | 'bucket' | 'prefix'> {
  const region = query.get('region');
  const endpoint = endpointOf(query.get('endpoint'), complain);
  const pathStyle = query.get('path-style');
  const sse = query.get('sse');
  const kmsKeyId = query.get('kms-key-id');
  const storageClass = query.get('storage-class');
  const caFile = query.get('ca-file');
  if (pathStyle !== undefined && pathStyle !== 'true' && pathStyle !== 'false') complain('"path-style" is neither true nor false');
  if (sse !== undefined && sse !== 'AES256' && sse !== 'aws:kms') complain('"sse" is neither AES256 nor aws:kms');
  if (kmsKeyId !== undefined && sse !== 'aws:kms') complain('"kms-key-id" is of use only with sse=aws:kms');
  if (storageClass !== undefined && !/^[A-Z0-9_]+$/.test(storageClass))
    complain('"storage-class" is no storage class, such as STANDARD_IA');
  if (storageClass === 'GLACIER' || storageClass === 'DEEP_ARCHIVE') {
    complain(`objects of class ${storageClass} cannot be read when a restore needs them`, 'GLACIER_IR can be read at once.');
  }
  return {
    ...(region !== undefined && { region }),
    ...(endpoint !== undefined && { endpoint }),
    ...(pathStyle !== undefined && { pathStyle: pathStyle === 'true' }),
    ...((sse === 'AES256' || sse === 'aws:kms') && { sse }),
    ...(kmsKeyId !== undefined && { kmsKeyId }),
    ...(storageClass !== undefined && { storageClass }),
    ...(caFile !== undefined && { caFile }),
  };
}

function endpointOf(text: string | undefined, complain: Complain): string | undefined {
  if (text === undefined) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    complain('"endpoint" is no https:// or http:// URL', 'Write endpoint=https://host or endpoint=http://host:port');
    return undefined;
  }
  if (url.username !== '' || url.password !== '') complain('its endpoint has credentials in it', CREDENTIALS_HINT);
  if (url.search !== '' || url.hash !== '') complain('its endpoint has a "?" or "#"');
  return url.href.replace(/\/$/, '');
}
