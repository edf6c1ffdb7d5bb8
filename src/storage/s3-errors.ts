import * as z from 'zod';
import { JetbackupError, messageOf } from '../core/errors.ts';
import { MAKE_ROOM } from './make-room.ts';

/** What the SDK throws, as far as it is of use here. Everything may be missing. */
const ThrownSchema = z.object({
  name: z.string().catch(''),
  message: z.string().catch(''),
  code: z.string().optional().catch(undefined),
  $metadata: z
    .object({ httpStatusCode: z.number().optional().catch(undefined) })
    .optional()
    .catch(undefined),
  $response: z
    .object({ headers: z.record(z.string(), z.unknown()).optional().catch(undefined) })
    .optional()
    .catch(undefined),
});

/** One failed answer, or none at all, in words of our own. */
export interface S3Facts {
  /** S3's code (`AccessDenied`), the system's (`ECONNRESET`) or the SDK's (`TimeoutError`). */
  readonly name: string;
  /** HTTP status; undefined when no answer came. */
  readonly status: number | undefined;
  readonly message: string;
  /** The bucket's region, where the store says that it is another one. */
  readonly region: string | undefined;
}

export function factsOf(error: unknown): S3Facts {
  const parsed = ThrownSchema.safeParse(error);
  if (!parsed.success) return { name: '', status: undefined, message: messageOf(error), region: undefined };
  const { name, message, code, $metadata, $response } = parsed.data;
  const region = $response?.headers?.['x-amz-bucket-region'];
  const generic = name === '' || name === 'Error' || name === 'Unknown' || name === 'UnknownError';
  return {
    name: generic || (code !== undefined && /^E[A-Z_]+$/.test(code)) ? (code ?? name) : name,
    status: $metadata?.httpStatusCode,
    message,
    region: typeof region === 'string' ? region : undefined,
  };
}

const networkNames = new Set([
  ...['ECONNRESET', 'ECONNREFUSED', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'ENETDOWN', 'EHOSTDOWN'],
  ...['ENOTFOUND', 'EAI_AGAIN', 'EADDRNOTAVAIL', 'EPROTO', 'TimeoutError', 'ERR_STREAM_PREMATURE_CLOSE'],
]);
/** Answers that may differ next time whatever their status: throttling, a body garbled on the way, a clock that the SDK has since set right. */
const passingNames = new Set([
  ...['SlowDown', 'RequestTimeout', 'Throttling', 'ThrottlingException', 'TooManyRequests', 'ServiceUnavailable', 'InternalError'],
  ...['BadDigest', 'XAmzContentSHA256Mismatch', 'XAmzContentChecksumMismatch', 'IncompleteBody', 'RequestTimeTooSkewed'],
  ...['OperationAborted', 'ConditionalRequestConflict'],
]);
const credentialNames = new Set(['CredentialsProviderError', 'TokenProviderError', 'ProviderError']);
const tlsName = /^(ERR_TLS|ERR_SSL|CERT_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO_|HOSTNAME_MISMATCH)/;

const isParseFailure = ({ message }: S3Facts) => /deserializ|unexpected end|parse|socket hang up/i.test(message);

/** Whether the answer never came or came half, so that the store may have done what it was asked. */
export function isAmbiguous(facts: S3Facts): boolean {
  if (facts.status !== undefined && facts.status >= 400) return facts.status >= 500 && facts.status !== 501;
  return networkNames.has(facts.name) || isParseFailure(facts);
}

/** Whether the same request may well succeed a little later. */
export function isPassing(facts: S3Facts): boolean {
  return isAmbiguous(facts) || passingNames.has(facts.name) || facts.status === 429 || facts.status === 408;
}

/** Whether the store does not know a header or call, rather than refusing this very request. */
export function isUnsupported(facts: S3Facts): boolean {
  return facts.status === 501 || facts.status === 405 || facts.name === 'NotImplemented' || facts.name === 'MethodNotAllowed';
}

export function isMissing(facts: S3Facts): boolean {
  return facts.name !== 'NoSuchBucket' && (facts.status === 404 || ['NoSuchKey', 'NotFound', 'NoSuchUpload'].includes(facts.name));
}

/** A request that failed for good after `attempts`; inside the S3 adapter only. */
export class S3Failure extends Error {
  readonly facts: S3Facts;
  readonly attempts: number;
  /** One of the attempts may have been carried out. */
  readonly maybeDone: boolean;

  constructor(facts: S3Facts, attempts: number, maybeDone: boolean, cause: unknown) {
    super(facts.message, { cause });
    this.name = 'S3Failure';
    this.facts = facts;
    this.attempts = attempts;
    this.maybeDone = maybeDone;
  }
}

const deniedHints: Readonly<Record<string, string>> = {
  InvalidAccessKeyId:
    'The store does not know this access key. Check AWS_ACCESS_KEY_ID (or the profile), and that it belongs to this endpoint.',
  SignatureDoesNotMatch:
    'The secret key does not fit the access key. Check AWS_SECRET_ACCESS_KEY for a missing character or a space, and the region.',
  ExpiredToken: 'The session token has expired. Get new temporary credentials (aws sso login, or renew AWS_SESSION_TOKEN).',
  InvalidToken:
    'The session token is not valid. Set AWS_SESSION_TOKEN to the one that came with these keys, or unset it for long-lived keys.',
  RequestTimeTooSkewed:
    'The clock of this machine and that of the store differ by more than 15 minutes. Set this machine’s clock (timedatectl).',
};

const CREDENTIALS_HINT =
  'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN for temporary ones), or AWS_PROFILE, or run where a role is attached.';

/** What the caller wanted, for the message and for the permissions that it needs. */
export interface S3Action {
  /** Reads after "cannot": `upload "a/b"`. */
  readonly text: string;
  /** Permissions in the words of IAM. */
  readonly needs: string;
  readonly bucket: string;
  readonly location: string;
}

function refusal(facts: S3Facts, { bucket, needs }: S3Action): readonly [JetbackupError['code'], string | undefined] {
  const { name, status } = facts;
  if (credentialNames.has(name) || /could not load credentials|credential.*(not found|invalid)/i.test(facts.message)) {
    return ['storage-denied', CREDENTIALS_HINT];
  }
  if (name === 'NoSuchBucket') {
    return [
      'storage-not-found',
      `The bucket "${bucket}" does not exist at this endpoint. Check its name and region, or make it: aws s3 mb s3://${bucket}`,
    ];
  }
  if (facts.region !== undefined && (status === 301 || status === 400 || status === 307)) {
    return ['storage-failed', `The bucket "${bucket}" is in another region: add ?region=${facts.region} to the repository’s URL.`];
  }
  if (status === 301 || name === 'PermanentRedirect' || name === 'AuthorizationHeaderMalformed') {
    return ['storage-failed', 'The bucket is in another region: add ?region=… to the repository’s URL.'];
  }
  if (/region is missing/i.test(facts.message)) return ['storage-failed', 'Add ?region=… to the repository’s URL, or set AWS_REGION.'];
  if (status === 507 || /quota|InsufficientStorage|StorageFull|XMinioStorageFull/i.test(name)) {
    return ['storage-full', `Raise the quota of the bucket or account. ${MAKE_ROOM}`];
  }
  const denied = deniedHints[name];
  if (denied !== undefined) return ['storage-denied', denied];
  if (status === 403 || status === 401 || name === 'AccessDenied') {
    return ['storage-denied', `Allow these credentials ${needs} on the bucket "${bucket}", and check that they are for this endpoint.`];
  }
  if (name === 'PreconditionFailed' || status === 412) return ['storage-exists', undefined];
  if (isMissing(facts)) return ['storage-not-found', undefined];
  if (tlsName.test(name)) {
    return [
      'storage-failed',
      'The certificate of the endpoint is not trusted. For an authority of your own add &ca-file=/path/to/ca.pem to the URL.',
    ];
  }
  if (name === 'ENOTFOUND')
    return ['storage-unreachable', 'The name of the endpoint does not resolve. Check endpoint=… and region=… in the repository’s URL.'];
  if (isPassing(facts)) return ['storage-unreachable', 'Check the endpoint and the network; the same command may be run again.'];
  return ['storage-failed', undefined];
}

/** The catalogue's error for a request that failed for good. */
export function storageError(failure: S3Failure, action: S3Action): JetbackupError {
  const [code, hint] = refusal(failure.facts, action);
  const { name, status, message } = failure.facts;
  if (code === 'storage-not-found' && name !== 'NoSuchBucket') {
    return new JetbackupError(code, `cannot ${action.text} in ${action.location}: it is not there`, { cause: failure.cause });
  }
  const label = [name, status === undefined ? '' : `HTTP ${status}`].filter(Boolean).join(', ');
  const times = failure.attempts > 1 ? ` after ${failure.attempts} attempts` : '';
  // What the SDK says when the answer had no message.
  const said = [/^(UnknownError|Unknown)$/.test(message) ? '' : message, label === '' ? '' : `(${label})`].filter(Boolean).join(' ');
  return new JetbackupError(code, `cannot ${action.text} in ${action.location}${times}: ${said}`, {
    ...(hint !== undefined && { hint }),
    cause: failure.cause,
  });
}
