import { BucketAlreadyOwnedByYou, CreateBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3';
import { GenericContainer, getContainerRuntimeClient, type StartedTestContainer, Wait } from 'testcontainers';
import type { S3Credentials } from '../../src/storage/s3-settings.ts';
import type { StoreFeatures } from '../../src/storage/store.ts';

/** How one kind of server is started and spoken to, and what it is known to do. */
interface Kind {
  /** Matches the image's name. */
  readonly image: RegExp;
  readonly port: number;
  readonly credentials: S3Credentials;
  readonly environment: Readonly<Record<string, string>>;
  readonly command: readonly string[];
  readonly ready: { readonly log: string } | { readonly path: string };
  /** What `probe` must find out, in an ordinary bucket and in one made with Object Lock (and so with versioning). */
  readonly features: { readonly plain: StoreFeatures; readonly locked: StoreFeatures };
}

const ALL: StoreFeatures = { conditionalPut: true, objectLock: true, versioning: true, checksums: true };
const PLAIN: StoreFeatures = { ...ALL, objectLock: false, versioning: false };

const kinds: readonly Kind[] = [
  {
    // Its conditional writes are atomic in an ordinary bucket only: in a versioned one, up to all of sixteen racing writers win.
    image: /ceph/,
    port: 7480,
    credentials: { accessKeyId: 'testkey', secretAccessKey: 'testsecret' },
    environment: { ACCESS_KEY: 'testkey', SECRET_KEY: 'testsecret' },
    command: [],
    ready: { log: 'S3 ready' },
    features: { plain: PLAIN, locked: { ...ALL, conditionalPut: false } },
  },
  {
    // Answers 412 and still lets several racing writers win; ignores Object Lock headers in silence.
    image: /swift/,
    port: 8080,
    credentials: { accessKeyId: 'test:tester', secretAccessKey: 'testing' },
    environment: {},
    command: [],
    ready: { log: 'S3 ready' },
    features: { plain: { ...PLAIN, conditionalPut: false }, locked: { ...PLAIN, conditionalPut: false } },
  },
  {
    image: /minio/,
    port: 9000,
    credentials: { accessKeyId: 'testkey', secretAccessKey: 'testsecret' },
    environment: { MINIO_ROOT_USER: 'testkey', MINIO_ROOT_PASSWORD: 'testsecret' },
    command: ['server', '/data'],
    ready: { path: '/minio/health/ready' },
    features: { plain: PLAIN, locked: ALL },
  },
  {
    image: /cloudserver/,
    port: 8000,
    credentials: { accessKeyId: 'testkey', secretAccessKey: 'testsecret' },
    environment: {
      S3BACKEND: 'mem',
      REMOTE_MANAGEMENT_DISABLE: '1',
      SCALITY_ACCESS_KEY_ID: 'testkey',
      SCALITY_SECRET_ACCESS_KEY: 'testsecret',
    },
    command: [],
    ready: { log: 'server started' },
    features: { plain: { ...PLAIN, conditionalPut: false }, locked: { ...ALL, conditionalPut: false } },
  },
];

/** Two servers by different makers: what one forgives, the other does not. Override them with JETBACKUP_TEST_S3_IMAGE and JETBACKUP_TEST_S3_SECOND_IMAGE. */
function imageOf(which: 'first' | 'second'): string {
  return which === 'first'
    ? (process.env['JETBACKUP_TEST_S3_IMAGE'] ?? 'minio/minio:RELEASE.2025-09-07T16-13-09Z')
    : (process.env['JETBACKUP_TEST_S3_SECOND_IMAGE'] ?? 'zenko/cloudserver:latest');
}

export interface S3Server extends AsyncDisposable {
  readonly image: string;
  /** `http://127.0.0.1:49153` */
  readonly endpoint: string;
  readonly host: string;
  readonly port: number;
  readonly region: string;
  readonly credentials: S3Credentials;
  /** What is known of this server, to compare `probe` with. */
  readonly features: Kind['features'];
  /** A client of the SDK's own, to look behind the adapter's back. */
  readonly client: S3Client;
  createBucket(name: string, options?: { objectLock?: boolean; versioning?: boolean }): Promise<void>;
  /** Stops its processes where they are, so that it takes no CPU time, and lets them go on. */
  freeze(frozen: boolean): Promise<void>;
  stop(): Promise<void>;
}

const REGION = 'us-east-1';

/** A real S3 server in a container of its own. `environment` goes to the server, e.g. `{ OSD_STORE: 'bluestore' }` for much data on Ceph. */
export async function startS3Server(which: 'first' | 'second', options: { environment?: Record<string, string> } = {}): Promise<S3Server> {
  const image = imageOf(which);
  const kind = kinds.find((candidate) => candidate.image.test(image));
  if (kind === undefined)
    throw new Error(`no way known to start ${image} as an S3 server; known are ${kinds.map((known) => known.image.source).join(', ')}`);
  const container: StartedTestContainer = await new GenericContainer(image)
    .withExposedPorts(kind.port)
    .withEnvironment({ ...kind.environment, ...options.environment })
    .withCommand([...kind.command])
    .withLabels({ 'jetbackup.test': 's3' })
    .withWaitStrategy('log' in kind.ready ? Wait.forLogMessage(kind.ready.log) : Wait.forHttp(kind.ready.path, kind.port))
    .withStartupTimeout(120_000)
    .start();
  const host = container.getHost();
  const port = container.getMappedPort(kind.port);
  const endpoint = `http://${host}:${port}`;
  // A server under load that has only just started answers 503 for longer than the SDK's three attempts take.
  const client = new S3Client({ endpoint, region: REGION, credentials: kind.credentials, forcePathStyle: true, maxAttempts: 8 });
  const freeze = async (frozen: boolean) => {
    const handle = (await getContainerRuntimeClient()).container.getById(container.getId());
    const { State } = await handle.inspect();
    if (State.Paused !== frozen) await (frozen ? handle.pause() : handle.unpause());
  };
  let stopped = false;
  const stop = async () => {
    if (stopped) return;
    stopped = true;
    client.destroy();
    await freeze(false);
    await container.stop({ timeout: 1 });
  };
  return {
    image,
    endpoint,
    host,
    port,
    region: REGION,
    credentials: kind.credentials,
    features: kind.features,
    client,
    async createBucket(name, { objectLock = false, versioning = false } = {}) {
      try {
        await client.send(new CreateBucketCommand({ Bucket: name, ...(objectLock && { ObjectLockEnabledForBucket: true }) }));
      } catch (error) {
        // By an earlier attempt of this very call, which was answered with 503 all the same. At the first, somebody else made it, and
        // a test would begin in a bucket that holds what another left.
        if (!(error instanceof BucketAlreadyOwnedByYou) || (error.$metadata.attempts ?? 1) === 1) throw error;
      }
      if (versioning) await client.send(new PutBucketVersioningCommand({ Bucket: name, VersioningConfiguration: { Status: 'Enabled' } }));
    },
    freeze,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
